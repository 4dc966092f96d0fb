//! MySQL's own words for what MariaDB's are for, both ways: the statements of each, and answers in one set of names.
//!
//! MySQL says *source* and *replica* where MariaDB says *master* and *slave*, and numbers transactions by the writer's
//! UUID (`uuid:1-7`) instead of by domain and sequence. What a replica received and applied are places in its source's
//! binary log in both.

use super::Facts;

/// Whose words a server understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// MariaDB 10.5 or newer.
    MariaDb,
    /// MySQL 8.0.23 or newer; from 8.2 on the state of a log has another name.
    MySql {
        /// Does it know `SHOW BINARY LOG STATUS`, and, later, no other word for it?
        renamed: bool,
    },
}

impl Dialect {
    /// By what the server says of its version.
    ///
    /// # Errors
    /// Why it is neither watched nor driven.
    pub fn of(version: &str) -> Result<Self, String> {
        let mut numbers = version.split(['.', '-']).map_while(|word| word.parse::<u32>().ok());
        let mut next = || numbers.next().unwrap_or_default();
        let found = (next(), next(), next());
        // Where `SLAVE MONITOR`, `READ_ONLY ADMIN` and their kin came from; where `SOURCE` did.
        let expected = "expected MariaDB 10.5 or MySQL 8.0.23, or newer";
        match version.contains("MariaDB") {
            true if (10, 5, 0) <= found => Ok(Self::MariaDb),
            false if (8, 0, 23) <= found => Ok(Self::MySql { renamed: (8, 2, 0) <= found }),
            true | false => Err(format!("is of version `{version}`, {expected}")),
        }
    }

    /// Asks a replica for all it knows.
    pub fn replica(self) -> &'static str {
        match self {
            Self::MariaDb => "show slave status",
            Self::MySql { .. } => "show replica status",
        }
    }

    /// Asks a server how far its own log goes. `SHOW MASTER STATUS` waits for the log's lock, which a commit holds while the
    /// one before it waits for a replica, for ever maybe, and no kill ends that wait; MariaDB's status variables wait for
    /// nobody (MariaDB documentation, `Binlog_snapshot_position`). MySQL has no such word for it.
    pub(super) fn written(self) -> &'static str {
        match self {
            Self::MariaDb => "show global status like 'Binlog_snapshot_%'",
            Self::MySql { renamed: false } => "show master status",
            Self::MySql { renamed: true } => "show binary log status",
        }
    }

    /// Asks a primary for its replicas.
    pub fn replicas(self) -> &'static str {
        match self {
            Self::MariaDb => "show slave hosts",
            Self::MySql { .. } => "show replicas",
        }
    }
}

/// MySQL's columns under MariaDB's names.
pub fn in_mariadbs_words(facts: Facts) -> Facts {
    let renamed = facts.0.into_iter().map(|(name, text)| {
        let name = match name.as_str() {
            "Server_Id" => "Server_id".to_owned(),
            name => name.replace("Source", "Master").replace("Replica", "Slave"),
        };
        (name, text)
    });
    Facts(renamed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        for (version, expected) in [
            ("10.11.19-MariaDB-0+deb12u1", Some(Dialect::MariaDb)),
            ("11.4.2-MariaDB", Some(Dialect::MariaDb)),
            ("10.4.30-MariaDB", None),
            ("5.5.5-10.11.19-MariaDB", None),
            ("8.0.36", Some(Dialect::MySql { renamed: false })),
            ("8.0.36-28", Some(Dialect::MySql { renamed: false })),
            ("8.0.22", None),
            ("8.4.3", Some(Dialect::MySql { renamed: true })),
            ("9.1.0-commercial", Some(Dialect::MySql { renamed: true })),
            ("5.7.44-log", None),
            ("", None),
        ] {
            assert_eq!(Dialect::of(version).ok(), expected, "{version}");
        }
    }
}
