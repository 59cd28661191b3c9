//! Names: [`NodeId`] and [`ClusterName`]. Both end up in a certificate's URI, in file names, in metric labels and in log
//! lines, so their alphabet is the small one that is safe in all four.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::blame::{Blame, Blamed};
use crate::limits::NAME_LEN_MAX;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The text has no character at all.
    #[error("a name must not be empty: use 1 to {NAME_LEN_MAX} of a-z A-Z 0-9 . _ -")]
    Empty,
    /// The text is longer than [`NAME_LEN_MAX`] bytes.
    #[error("the name is {len} bytes long: at most {NAME_LEN_MAX} are allowed")]
    TooLong {
        /// Length of the text in bytes.
        len: usize,
    },
    /// A character outside the alphabet, or a first character that is not a letter or a digit.
    #[error("{found:?} at byte {at} of the name is not allowed: begin with a letter or digit, then a-z A-Z 0-9 . _ -")]
    BadCharacter {
        /// Byte offset of the character.
        at: usize,
        /// The character.
        found: char,
    },
}

impl Blamed for IdError {
    fn blame(&self) -> Blame {
        Blame::CallerMisused
    }
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > NAME_LEN_MAX {
        return Err(IdError::TooLong { len: text.len() });
    }
    let allowed = |at: usize, c: char| c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '.' | '_' | '-'));
    match text.char_indices().find(|&(at, c)| !allowed(at, c)) {
        Some((at, found)) => Err(IdError::BadCharacter { at, found }),
        None => Ok(()),
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text: 1 to 64 bytes of `a-z A-Z 0-9 . _ -`, beginning with a letter or a digit.
            ///
            /// # Errors
            /// [`IdError`] names the first thing that is wrong.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text).map(|()| Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// The name of a node, the same as in its certificate (`cluster://<cluster>/<node>`). Cheap to clone.
    ///
    /// A restart keeps the name; it gets a new [`Life`](crate::Life) and a higher
    /// [`Incarnation`](crate::Incarnation).
    NodeId
}
name_type! {
    /// The name of a cluster. Two clusters never exchange a member, whatever their addresses say.
    ClusterName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_errors_say_what_is_wrong() {
        let check = |text: &str| NodeId::new(text).map_err(|e| e.to_string());
        assert_eq!(check("db-1.eu_west").unwrap().as_str(), "db-1.eu_west");
        assert_eq!(check("").unwrap_err(), "a name must not be empty: use 1 to 64 of a-z A-Z 0-9 . _ -");
        assert_eq!(check(&"x".repeat(65)).unwrap_err(), "the name is 65 bytes long: at most 64 are allowed");
        assert!(check("a/b").unwrap_err().starts_with("'/' at byte 1"));
        assert!(check("-a").unwrap_err().starts_with("'-' at byte 0"));
        assert!(check("node é").unwrap_err().starts_with("' ' at byte 4"));
        assert!(check(&"x".repeat(64)).is_ok());
    }
}
