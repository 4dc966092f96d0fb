//! `quorate rejoin-redis`: makes an old primary of this host a replica again, and keeps what it alone had.
//!
//! What it goes by its guard says in `QUORATE_` variables, as to every program that does this: see `guard::rejoin`.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use probe::{Login, Tls};

use super::table::Out;
use super::{complain, failed, invalid};
use crate::rejoin::{self, Place, Setup};

/// What `quorate rejoin-redis` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Run by a guard, as `rejoin = [\"/usr/bin/quorate\", \"rejoin-redis\"]` in its [[guard.door]], with QUORATE_APP,
QUORATE_DATABASE, QUORATE_HOST, QUORATE_PORT, QUORATE_PRIMARY_HOST, QUORATE_PRIMARY_PORT, QUORATE_USER,
QUORATE_PASSWORD, QUORATE_TLS and QUORATE_KEEP in its environment.

The commands that the new primary never received go to QUORATE_KEEP/commands.resp, which
`redis-cli --pipe` takes, or all data to QUORATE_KEEP/dump.rdb; then the server follows.
The last line is the report.")]
pub struct Args {}

/// Does it.
pub async fn run(_: &Args, out: &mut Out<'_>) -> ExitCode {
    let (setup, lock) = match setup() {
        Ok(setup) => setup,
        Err(why) => return invalid(why),
    };
    // Held until this process ends, however it does.
    let locked =
        lock.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(&lock));
    let locked = match locked {
        Ok(file) => file,
        Err(error) => return failed(format_args!("cannot lock `{}`: {error}", lock.display())),
    };
    if locked.try_lock().is_err() {
        complain("another run is at it");
        return ExitCode::FAILURE;
    }
    let ended = rejoin::run(&setup).await;
    if let Some(lost) = ended.lost {
        out.print(&format!("{lost}\n"));
    }
    match ended.what {
        Ok(done) => {
            out.print(&format!("{done}\n"));
            ExitCode::SUCCESS
        }
        Err(why) => {
            complain(why);
            ExitCode::FAILURE
        }
    }
}

/// What is to be done, and the file that says that somebody is at it.
fn setup() -> Result<(Setup, PathBuf), String> {
    let (app, database) = (word("QUORATE_APP")?, word("QUORATE_DATABASE")?);
    let keep = PathBuf::from(word("QUORATE_KEEP")?);
    let password = env::var("QUORATE_PASSWORD").ok().filter(|password| !password.is_empty());
    let tls = match env::var("QUORATE_TLS").unwrap_or_default().as_str() {
        "" => Tls::AsOffered,
        "encrypted" => Tls::Encrypted,
        "verified" => Tls::Verified(env::var("QUORATE_TLS_AUTHORITY").ok().map(Into::into)),
        other => {
            return Err(format!(
                "QUORATE_TLS: expected `encrypted` or `verified`, found `{other}`"
            ));
        }
    };
    let login = Login { user: word("QUORATE_USER")?, password, tls };
    let here = Place { host: word("QUORATE_HOST")?, port: number("QUORATE_PORT")? };
    let primary =
        Place { host: word("QUORATE_PRIMARY_HOST")?, port: number("QUORATE_PRIMARY_PORT")? };
    let lock = keep.with_file_name(format!("{app}.{database}.lock"));
    Ok((Setup { app, here, primary, login, keep }, lock))
}

fn word(name: &str) -> Result<String, String> {
    let found = env::var(name).ok().filter(|word| !word.is_empty());
    found.ok_or_else(|| format!("{name} is not set: a guard runs this, see --help"))
}

fn number<N: FromStr>(name: &str) -> Result<N, String> {
    let found = word(name)?;
    found.parse().map_err(|_| format!("{name}: expected a port, found `{found}`"))
}
