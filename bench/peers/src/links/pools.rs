//! What asking a pool costs that has a connection ready.

use std::convert::Infallible;
use std::time::Duration;

use cluster_pool::PoolConfig;

use super::Flavour;
use super::echo::nodes;
use super::measure::alternate;

struct Nothing;

impl bb8::ManageConnection for Nothing {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    async fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

impl deadpool::managed::Manager for Nothing {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    async fn recycle(
        &self,
        _: &mut u64,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Infallible> {
        Ok(())
    }
}

const GETS: usize = 200_000;

pub(crate) fn compare() {
    let runtime = Flavour::CurrentThread.runtime();
    let pair = runtime.block_on(nodes(PoolConfig::default()));
    let (pool, name, addr) = (pair.a.pool.clone(), pair.b.name.clone(), pair.b.addr);
    let ours = || {
        runtime.block_on(async {
            for _ in 0..GETS {
                drop(pool.get_or_create(&name, addr).await.expect("there"));
            }
        });
    };
    let lease = || (0..GETS).for_each(|_| drop(pool.lease(&name).expect("there")));
    let bb8 =
        runtime.block_on(bb8::Pool::builder().max_size(4).test_on_check_out(false).build(Nothing)).expect("a pool");
    let get_bb8 = || {
        runtime.block_on(async {
            for _ in 0..GETS {
                drop(bb8.get().await.expect("there"));
            }
        });
    };
    let deadpool = deadpool::managed::Pool::<Nothing>::builder(Nothing).max_size(4).build().expect("a pool");
    let get_deadpool = || {
        runtime.block_on(async {
            for _ in 0..GETS {
                drop(deadpool.get().await.expect("there"));
            }
        });
    };
    println!("| ours / other | ns | other ns | ratio |\n|---|---:|---:|---:|");
    let ns = |span: Duration| span.as_secs_f64() * 1e9;
    let print = |what: &str, [a, b]: [super::Sample; 2]| {
        println!("| {what} | {:.0} | {:.0} | {:.2} |", ns(a.cpu), ns(b.cpu), ns(a.cpu) / ns(b.cpu));
    };
    print("get_or_create / bb8", alternate(GETS, ours, get_bb8));
    print("get_or_create / deadpool", alternate(GETS, ours, get_deadpool));
    print("lease / bb8", alternate(GETS, lease, get_bb8));
}
