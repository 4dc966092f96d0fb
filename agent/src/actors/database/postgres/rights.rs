//! Which of the rights that [`super`] names does a log-in lack? Asked of the server's own catalogue: nothing is tried.

use consensus::model::ActionFault;

use super::Order;
use super::session::Session;
use crate::actors::Uses;
use crate::actors::attempt::Attempt;

/// By the catalogue, and not by the name: to look that up takes the right to use the schema.
const OWN: &str = "SELECT current_setting('is_superuser') = 'on' AS super, \
                   current_setting('server_version_num') AS version, \
                   quote_ident(current_user) AS role, \
                   (SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace \
                   WHERE nspname = 'quorate' AND relname = 'epoch') AS epoch";

/// The first version in which `ALTER SYSTEM` can be granted.
const GRANTABLE: u32 = 150_000;

pub(in crate::actors::database) async fn lacking(
    attempt: &Attempt,
    order: &Order<'_>,
    uses: Uses,
) -> Result<Vec<String>, ActionFault> {
    let session = Session::open(attempt, order).await?;
    attempt.enter("reading its rights");
    let own = session.row("reading its rights", OWN).await?;
    if own.is_true("super") {
        return Ok(Vec::new());
    }
    let grantable = GRANTABLE <= own.number("version").unwrap_or_default();
    let (role, place) = (own.text("role").unwrap_or_default(), session.place());
    let rights = rights(uses, own.number("epoch"), role, grantable);
    let held: Vec<_> =
        rights.iter().enumerate().map(|(n, it)| format!("{} AS r{n}", it.held)).collect();
    let row = session.row("reading its rights", &format!("SELECT {}", held.join(", "))).await?;
    let lacks = rights.iter().enumerate().filter(|(n, _)| !row.is_true(&format!("r{n}")));
    let words = |it: &Right| format!("`{role}` may not {} at `{place}`: {}", it.what, it.given_by);
    Ok(lacks.map(|(_, it)| words(it)).collect())
}

/// One right.
struct Right {
    /// What it is for.
    what: &'static str,
    /// The statement that gives it.
    given_by: String,
    /// Is it held? In SQL.
    held: String,
}

/// All that steps take, with the table of tokens if there is one.
fn rights(uses: Uses, epoch: Option<u32>, role: &str, grantable: bool) -> Vec<Right> {
    let right = |what, granted: &str, held: String| {
        let given_by = format!("`GRANT {granted} TO {role}`");
        Right { what, given_by, held }
    };
    let function = |what, signature: &str| {
        let held = format!("has_function_privilege('{signature}', 'EXECUTE')");
        right(what, &format!("EXECUTE ON FUNCTION {signature}"), held)
    };
    let setting = |what, name: &str| match grantable {
        true => {
            let held = format!("has_parameter_privilege('{name}', 'ALTER SYSTEM')");
            right(what, &format!("ALTER SYSTEM ON PARAMETER {name}"), held)
        }
        false => {
            let given_by = format!("before version 15 only `ALTER ROLE {role} SUPERUSER` helps");
            Right { what, given_by, held: "false".into() }
        }
    };
    let member = |role| format!("pg_has_role(current_user, '{role}', 'usage')");
    let sees = [
        member("pg_read_all_stats"),
        member("pg_read_all_settings"),
        "has_function_privilege('pg_ls_waldir()', 'EXECUTE')".to_owned(),
    ];
    let mut rights = vec![
        right("see how it replicates", "pg_monitor", sees.join(" AND ")),
        right("end sessions", "pg_signal_backend", member("pg_signal_backend")),
        setting("make it read-only", "default_transaction_read_only"),
        function("have its settings read again", "pg_reload_conf()"),
        function("promote it", "pg_promote(boolean, integer)"),
    ];
    let keeps = "keep the token of a promotion";
    match epoch {
        None => {
            let held = "has_database_privilege(current_database(), 'CREATE')".to_owned();
            rights.push(right(keeps, "CREATE ON DATABASE postgres", held));
        }
        Some(table) => {
            let held = "has_schema_privilege('quorate', 'USAGE')".to_owned();
            rights.push(right(keeps, "USAGE ON SCHEMA quorate", held));
            let each = ["SELECT", "INSERT", "UPDATE"]
                .map(|it| format!("has_table_privilege({table}::oid, '{it}')"));
            let granted = "SELECT, INSERT, UPDATE ON quorate.epoch";
            rights.push(right(keeps, granted, each.join(" AND ")));
        }
    }
    if uses.follows {
        rights.push(setting("tell it whom to follow", "primary_conninfo"));
        rights.push(function("read its history", "pg_read_file(text)"));
        let held = "current_setting('primary_slot_name') = '' \
                    OR (SELECT rolreplication FROM pg_roles WHERE rolname = current_user)";
        let given_by = format!("`ALTER ROLE {role} REPLICATION`");
        rights.push(Right { what: "make its slot at another", given_by, held: held.into() });
    }
    if uses.sync {
        rights.push(setting("set whom it waits for", "synchronous_standby_names"));
        rights.push(function("read what its files say", "pg_show_all_file_settings()"));
    }
    rights
}
