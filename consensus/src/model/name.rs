//! Names that people give to things: short, lower case, safe in a file name, a label and a log line.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A DNS label is at most 63 octets (RFC 1035 section 2.3.4); our names may become one.
pub const NAME_LIMIT: usize = 63;

/// A name that is not one: what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName(pub String);

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected 1 to {NAME_LIMIT} of a-z, 0-9, `-` and `_`, starting with a letter or digit, found `{}`",
            self.0
        )
    }
}

impl std::error::Error for BadName {}

fn parse(text: &str) -> Result<Arc<str>, BadName> {
    let fits = (1..=NAME_LIMIT).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        && text.as_bytes()[0].is_ascii_alphanumeric();
    match fits {
        true => Ok(text.into()),
        false => Err(BadName(text.chars().take(NAME_LIMIT + 1).collect())),
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// An agent, as its certificate names it.
    AgentId;
    /// A fault domain that agents and stacks live in.
    Region;
    /// What clients know by name; it lives in two or more stacks.
    AppId;
    /// One complete copy of an app in one place.
    StackId;
    /// The place a stack lives in; several apps may share it.
    Site;
    /// A target of a stack, unique within it.
    TargetName;
    /// A secret that an app file names and some agents hold.
    CredentialId;
}

/// One thing to look at: an endpoint or a database of a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetId {
    /// The app it belongs to.
    pub app: AppId,
    /// The stack it belongs to.
    pub stack: StackId,
    /// Its name within the stack.
    pub name: TargetName,
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.app, self.stack, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_lower_case_labels() {
        for good in ["a", "aws-east", "db_1", "0", &"x".repeat(63)] {
            assert!(good.parse::<AppId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a.b", "a b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<AppId>().is_err(), "{bad}");
        }
    }
}
