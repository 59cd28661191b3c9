//! Marks in the code that say what a test should see, and places where a test may ask for the unusual.
#![doc = include_str!("../README.md")]

mod buggify;
mod crossing;
mod site;

pub use buggify::{Storm, storm};
pub use crossing::{Crossings, at_crossings, cross};
pub use site::{Kind, Site, take_broken_here};

/// Whether sites are recorded in this build.
pub const RECORDING: bool = cfg!(feature = "record");

/// Declares the sites of a crate, and a table of all of them.
///
/// Each line is `NAME: Kind "what it is about";` with a [`Kind`] of `Reachable`, `Sometimes`, `Always` or `Buggify`.
#[macro_export]
macro_rules! sites {
    ($(#[$doc:meta])* $vis:vis static $all:ident; $($name:ident: $kind:ident $text:literal;)+) => {
        $(
            #[doc = $text]
            pub(crate) static $name: $crate::Site = $crate::Site::new($crate::Kind::$kind, $text, (file!(), line!()), module_path!());
        )+
        $(#[$doc])*
        $vis static $all: &[&$crate::Site] = &[$(&$name),+];
    };
}

/// Some run must get here.
#[macro_export]
macro_rules! reachable {
    ($site:expr) => {
        if $crate::RECORDING {
            $site.note(true);
        }
    };
}

/// The condition must hold here in some run. It is not evaluated where nothing is recorded.
#[macro_export]
macro_rules! sometimes {
    ($site:expr, $condition:expr) => {
        if $crate::RECORDING {
            $site.note($condition);
        }
    };
}

/// The condition must hold each time this place is reached. A run in which it does not fails, but goes on: what follows is often worth
/// seeing. It is not evaluated where nothing is recorded.
#[macro_export]
macro_rules! always {
    ($site:expr, $condition:expr) => {
        if $crate::RECORDING {
            $site.note($condition);
        }
    };
}

/// Whether to take an unusual turn here: now and then within a [`storm`], never elsewhere.
#[macro_export]
macro_rules! buggify {
    ($site:expr) => {
        $crate::RECORDING && $site.strikes()
    };
}

/// A place between two steps, at which no lock is held: a test that schedules threads itself ([`at_crossings`]) lets others come between
/// here. Nothing happens elsewhere.
#[macro_export]
macro_rules! crossing {
    () => {
        if $crate::RECORDING {
            $crate::cross();
        }
    };
}
