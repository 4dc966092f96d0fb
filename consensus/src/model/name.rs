//! Names that people give to things: short, lower case, safe in a file name, a label and a log line.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// So many bytes of a name lie in place: enough for nearly every name that people give.
const IN_PLACE: usize = 16;

/// The text of a name. Names are compared and copied all the time, and are the keys of nearly everything: short ones are
/// two words, compared as numbers, and only what follows in a longer one lies elsewhere.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Text {
    /// The first bytes, and zeros behind a shorter name: no name contains one, so the order is that of the text.
    head: [u8; IN_PLACE],
    /// The whole text of a name that does not fit.
    long: Option<Arc<String>>,
}

impl Text {
    fn as_str(&self) -> &str {
        match &self.long {
            Some(long) => long,
            None => {
                let zeros = u128::from_be_bytes(self.head).trailing_zeros() as usize / 8;
                str::from_utf8(&self.head[..IN_PLACE - zeros]).expect("names are ASCII")
            }
        }
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        let heads = u128::from_be_bytes(self.head).cmp(&u128::from_be_bytes(other.head));
        // Without more, it is the shorter.
        heads.then_with(|| self.long.cmp(&other.long))
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Text {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bytes = text.as_bytes();
        let fits = (1..=NAME_LIMIT).contains(&bytes.len())
            && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
            && bytes[0].is_ascii_alphanumeric();
        if !fits {
            return Err(BadName(text.chars().take(NAME_LIMIT + 1).collect()));
        }
        let mut head = [0; IN_PLACE];
        let first = bytes.len().min(IN_PLACE);
        head[..first].copy_from_slice(&bytes[..first]);
        let long = (first < bytes.len()).then(|| Arc::new(text.to_owned()));
        Ok(Self { head, long })
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl serde::de::Visitor<'_> for Name {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Name)
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Text);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                text.parse().map(Self)
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
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
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

    #[test]
    fn names_read_and_compare_as_their_text_whatever_their_length() {
        let texts: Vec<String> = ["a", "a-b", "ab", "b", "a1", "0"]
            .iter()
            .flat_map(|text| {
                [0, 13, 15, 16, 17, 40].map(|more| text.to_string() + &"x".repeat(more))
            })
            .collect();
        for one in &texts {
            let name: AppId = one.parse().expect("a name");
            assert_eq!(name.as_str(), one);
            for other in &texts {
                let compared = name.cmp(&other.parse().expect("a name"));
                assert_eq!(compared, one.cmp(other), "{one} and {other}");
            }
        }
    }
}
