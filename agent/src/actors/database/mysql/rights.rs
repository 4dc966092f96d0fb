//! Which of the rights that [`super`] names does a log-in lack? By what the server says of it: nothing is tried.

use std::collections::BTreeSet;

use consensus::model::ActionFault;
use probe::mysql::Dialect;

use super::super::Order;
use super::session::Session;
use crate::actors::attempt::Attempt;

const MARIADB: [&str; 10] = [
    "BINLOG MONITOR",
    "SLAVE MONITOR",
    "REPLICATION MASTER ADMIN",
    "REPLICATION SLAVE",
    "REPLICATION SLAVE ADMIN",
    "READ_ONLY ADMIN",
    "CONNECTION ADMIN",
    "BINLOG ADMIN",
    "PROCESS",
    "RELOAD",
];
const MYSQL: [&str; 7] = [
    "REPLICATION SLAVE",
    "REPLICATION CLIENT",
    "REPLICATION_SLAVE_ADMIN",
    "SYSTEM_VARIABLES_ADMIN",
    "CONNECTION_ADMIN",
    "PROCESS",
    "RELOAD",
];
/// On the tokens' own schema.
const TOKENS: [&str; 4] = ["CREATE", "SELECT", "INSERT", "UPDATE"];

const ALL: &str = "ALL PRIVILEGES";

pub(in crate::actors::database) async fn lacking(
    attempt: &Attempt,
    order: &Order<'_>,
) -> Result<Vec<String>, ActionFault> {
    let mut session = Session::open(attempt, order).await?;
    attempt.enter("reading its rights");
    let sql = "select current_user() as user, @@version as version";
    let own = session.ask("reading its rights", sql).await?.unwrap_or_default();
    let user = match own.text("user").rsplit_once('@') {
        Some((user, host)) => format!("'{user}'@'{host}'"),
        None => own.text("user").to_owned(),
    };
    let granted = session.list("reading its rights", "show grants").await?;
    let mut parts = own.text("version").split('.').map_while(|it| it.parse().ok());
    let version = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let place = order.place();
    let lacks = lacks(session.dialect, version, &granted);
    let words = |(right, on)| {
        format!("{user} lacks {right} on `{on}` at `{place}`: `GRANT {right} ON {on} TO {user}`")
    };
    Ok(lacks.into_iter().map(words).collect())
}

/// What is not granted, and on what it should be.
fn lacks(
    dialect: Dialect,
    version: (u32, u32),
    granted: &[String],
) -> Vec<(&'static str, &'static str)> {
    let wanted = match dialect {
        Dialect::MariaDb => &MARIADB[..],
        Dialect::MySql { .. } => &MYSQL[..],
    };
    let everywhere = on(granted, "*.*");
    let tokens = on(granted, "quorate.*");
    let by_super = |right: &str| match (dialect, right) {
        // Seen at a 10.11: it may not set `read_only`. From 11 on SUPER is none of the others any more either.
        (Dialect::MariaDb, "READ_ONLY ADMIN") => version < (10, 11),
        (Dialect::MariaDb, _) if (11, 0) <= version => false,
        (_, right) => right.ends_with("ADMIN") || right.ends_with("MONITOR"),
    };
    let holds = |right: &str| {
        let administers = everywhere.contains("SUPER") && by_super(right);
        everywhere.contains(ALL) || everywhere.contains(right) || administers
    };
    let lacking = wanted.iter().filter(|it| !holds(it)).map(|it| (*it, "*.*"));
    let of_tokens = TOKENS.iter().filter(|right| {
        let all = tokens.contains(ALL) || everywhere.contains(ALL);
        !all && !tokens.contains(**right) && !everywhere.contains(**right)
    });
    lacking.chain(of_tokens.map(|it| (*it, "quorate.*"))).collect()
}

/// The rights that lines of `SHOW GRANTS` give on this. Those on single columns are none.
fn on<'a>(granted: &'a [String], place: &str) -> BTreeSet<&'a str> {
    let lines = granted.iter().filter_map(|line| {
        let (rights, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
        let (of, _) = rest.split_once(" TO ")?;
        (of.replace('`', "") == place).then_some(rights)
    });
    lines.flat_map(|rights| rights.split(',')).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn what_is_not_granted_is_named() {
        const MYSQL8: Dialect = Dialect::MySql { renamed: false };
        const TOKENS: &str = "GRANT SELECT, INSERT, UPDATE, CREATE ON `quorate`.* TO `quorate`@`%`";
        let of_mysql = [
            "GRANT RELOAD, PROCESS, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `quorate`@`%`",
            "GRANT CONNECTION_ADMIN,REPLICATION_SLAVE_ADMIN,SYSTEM_VARIABLES_ADMIN ON *.* TO `quorate`@`%`",
            TOKENS,
        ];
        let all = "GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION";
        let with_super = "GRANT RELOAD, PROCESS, SUPER, REPLICATION SLAVE ON *.* TO `quorate`@`%`";
        let of_role = "GRANT `dba` TO `quorate`@`%`";
        type Case<'a> = (Dialect, (u32, u32), &'a [&'a str], &'a [&'a str]);
        let cases: [Case<'_>; 8] = [
            (MYSQL8, (8, 0), &of_mysql, &[]),
            (
                MYSQL8,
                (8, 0),
                &of_mysql[1..],
                &["REPLICATION SLAVE", "REPLICATION CLIENT", "PROCESS", "RELOAD"],
            ),
            (MYSQL8, (8, 0), &of_mysql[..2], &["CREATE", "SELECT", "INSERT", "UPDATE"]),
            (MYSQL8, (8, 0), &[all, of_role], &[]),
            (Dialect::MariaDb, (11, 4), &[all], &[]),
            (Dialect::MariaDb, (10, 6), &[with_super, TOKENS], &[]),
            (Dialect::MariaDb, (10, 11), &[with_super, TOKENS], &["READ_ONLY ADMIN"]),
            (
                Dialect::MariaDb,
                (11, 4),
                &[with_super, TOKENS],
                &[
                    "BINLOG MONITOR",
                    "SLAVE MONITOR",
                    "REPLICATION MASTER ADMIN",
                    "REPLICATION SLAVE ADMIN",
                    "READ_ONLY ADMIN",
                    "CONNECTION ADMIN",
                    "BINLOG ADMIN",
                ],
            ),
        ];
        for (dialect, version, granted, expected) in cases {
            let lacks = lacks(dialect, version, &lines(granted));
            let found: Vec<_> = lacks.iter().map(|(right, _)| *right).collect();
            assert_eq!(found, expected, "{dialect:?} {version:?} {granted:?}");
        }
    }
}
