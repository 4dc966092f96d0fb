//! The words of a story's commands: meshes, apps, and what is told of them.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use consensus::model::{Definition, Engine, Mode, Phase};

use crate::scene::{AppShape, MeshShape};
use crate::world::{Host, Told, Web};

pub(super) fn mesh(words: &[&str]) -> Result<MeshShape, String> {
    let (voters, regions, standbys, guards) = match words {
        [voters, "voters", regions, "regions"] => (voters, regions, 0, 0),
        [voters, "voters", regions, "regions", standbys, "standing-by"] => {
            (voters, regions, parse(standbys)?, 0)
        }
        [voters, "voters", regions, "regions", guards, "guards"] => {
            (voters, regions, 0, parse(guards)?)
        }
        [voters, "voters", regions, "regions", canaries, "canaries"] => {
            let shape = MeshShape::spread(parse(voters)?, parse(regions)?);
            return Ok(MeshShape { canaries: parse(canaries)?, ..shape });
        }
        [voters, "voters", regions, "regions", observers, "observers"] => {
            let regions = parse(regions)?;
            let observers = (0..parse(observers)?).map(|at: u64| at % regions + 1).collect();
            return Ok(MeshShape { observers, ..MeshShape::spread(parse(voters)?, regions) });
        }
        [voters, "voters", regions, "regions", guards, "rejoining", "guards"] => {
            let words = [*voters, "voters", *regions, "regions", *guards, "guards"];
            return Ok(MeshShape { rejoins: true, ..mesh(&words)? });
        }
        _ => {
            let more = "[N standing-by | N guards | N rejoining guards | N canaries | N observers]";
            return Err(format!("expected: mesh N voters N regions {more}"));
        }
    };
    let (voters, regions): (u64, u64) = (parse(voters)?, parse(regions)?);
    let observers = (0..guards).map(|index: u64| index % regions + 1).collect();
    let standbys = (voters..voters + standbys).map(|index| index % regions + 1).collect();
    Ok(MeshShape { standbys, observers, ..MeshShape::spread(voters, regions) })
}

/// `app NAME [database] [synchronous] [sync=N] [engine=redis|mongodb] [outside] [cooldown=…] [lease=…] [mode=…] [window=…] [stacks=a,b,c]`
pub(super) fn app(words: &[&str]) -> Result<AppShape, String> {
    let (name, options) = words.split_first().ok_or("an app has a name")?;
    let mut shape = AppShape::web(name);
    for option in options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("database", _) => shape.database = true,
            ("synchronous", _) => (shape.database, shape.synchronous) = (true, true),
            ("sync", number) => {
                (shape.database, shape.synchronous) = (true, true);
                shape.kept = parse(number)?;
            }
            ("engine", "redis") => shape.engine = Engine::Redis,
            ("engine", "mongodb") => (shape.database, shape.engine) = (true, Engine::Mongodb),
            ("endpoints", number) => shape.endpoints = parse(number)?,
            ("follows", _) => shape.follows = true,
            ("outside", _) => shape.outside = true,
            ("guards", names) => {
                shape.guards = names.split(',').map(parse).collect::<Result<_, _>>()?;
            }
            ("view", "guard") => shape.hidden = true,
            ("cooldown", span) => shape.cooldown = seconds(span)?,
            ("lease", span) => shape.lease = seconds(span)?,
            ("mode", "approve") => shape.mode = Mode::Approve,
            ("mode", "shadow") => shape.mode = Mode::Shadow,
            ("window", span) => {
                shape.probe.window = seconds(span)?;
                shape.probe.interval = shape.probe.window / 4;
            }
            ("stacks", names) => {
                shape.stacks = names.split(',').map(parse).collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("no such option `{option}`")),
        }
    }
    Ok(shape)
}

/// Each stack's databases are guarded by one of these, in the stacks' order.
pub(super) fn guard_by(definition: &mut Definition, names: &str) -> Result<(), String> {
    for (stack, name) in definition.stacks.iter_mut().zip(names.split(',')) {
        for database in &mut stack.databases {
            database.guard = Some(parse(name)?);
        }
    }
    Ok(())
}

/// What a source tells: addresses, `nothing`, or `fails`.
pub(super) fn told_by(words: &[&str]) -> Result<Told, String> {
    let place =
        |word: &&str| parse(word).map(|address| consensus::model::Place { address, port: None });
    match words {
        ["fails"] => Ok(Err("no answer".into())),
        ["nothing"] => Ok(Ok(BTreeSet::new())),
        addresses => addresses.iter().map(place).collect::<Result<_, _>>().map(Ok),
    }
}

pub(super) fn in_words(told: &Told) -> String {
    match told {
        Ok(places) if places.is_empty() => "of nothing".into(),
        Ok(places) => places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Err(why) => format!("nobody anything ({why})"),
    }
}

pub(super) fn web(how: &str) -> Result<Web, String> {
    match how {
        "up" => Ok(Web::Up),
        "down" => Ok(Web::Refusing),
        "dark" => Ok(Web::Dark),
        "failing" => Ok(Web::Failing),
        _ => Err(format!("expected up, down, dark or failing, found `{how}`")),
    }
}

pub(super) fn host(how: &str) -> Result<Host, String> {
    match how {
        "up" => Ok(Host::Up),
        "down" | "failing" => Ok(Host::Refusing),
        "dark" => Ok(Host::Dark),
        _ => Err(format!("expected up, down or dark, found `{how}`")),
    }
}

pub(super) fn parse_phase(text: &str) -> Result<Phase, String> {
    let all = [
        Phase::Idle,
        Phase::Fencing,
        Phase::Aborting,
        Phase::Promoting,
        Phase::Publishing,
        Phase::Verifying,
    ];
    all.into_iter().find(|phase| phase.to_string() == text).ok_or(format!("no phase `{text}`"))
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number =
        text.strip_suffix('s').ok_or(format!("expected seconds like 8s, found `{text}`"))?;
    parse::<f64>(number).map(Duration::from_secs_f64)
}

pub(super) fn parse<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("found `{text}`"))
}
