//! Mistakes by name, planted into the settings of every node: to see that a scenario finds them, and what it then says.
//! Only with feature `planted`.

use std::fmt::Debug;

use cluster_manager::ClusterConfig;

/// The names of all mistakes there are, in core, pool and loop.
#[must_use]
pub fn names() -> Vec<String> {
    let core = cluster_gossip::planted::Bug::ALL.iter().map(name);
    let pool = cluster_pool::planted::Bug::ALL.iter().map(name);
    let of_loop = cluster_manager::planted::Bug::ALL.iter().map(name);
    core.chain(pool).chain(of_loop).collect()
}

fn name(bug: &impl Debug) -> String {
    format!("{bug:?}")
}

/// Plants the mistake of a name; nothing happens when there is none of that name.
pub fn plant(named: &str, config: &mut ClusterConfig) {
    let is_it = |bug: &dyn Debug| format!("{bug:?}") == named;
    config.swim.bug = cluster_gossip::planted::Bug::ALL.into_iter().find(|bug| is_it(bug));
    config.pool.bug = cluster_pool::planted::Bug::ALL.into_iter().find(|bug| is_it(bug));
    config.bug = cluster_manager::planted::Bug::ALL.into_iter().find(|bug| is_it(bug));
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_manager::Profile;

    #[test]
    fn each_name_plants_one_mistake_and_no_two_are_the_same() {
        let planted = |name: &str| {
            let mut config = ClusterConfig::new(Profile::Lan);
            plant(name, &mut config);
            [config.swim.bug.is_some(), config.pool.bug.is_some(), config.bug.is_some()].iter().filter(|x| **x).count()
        };
        assert!(names().len() >= 12, "{:?}", names());
        assert!(names().iter().all(|name| planted(name) == 1));
        assert_eq!(planted("no such mistake"), 0);
    }
}
