//! One session with a server: what it is asked, and told.

use std::time::Duration;

use probe::redis::resp::{Info, Link, Reply};
use probe::redis::{CLOSED, Seen, driven, follows_by, log_in};
use probe::{Login, Stream, Tls, Trust, protect};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Place;

/// A server that takes longer for one answer is not well.
const LIMIT: Duration = Duration::from_secs(10);
const REQUIRED: &str = "min-replicas-to-write";
/// While this is zero, the required replicas are not asked for.
const LAG: &str = "min-replicas-max-lag";

/// One session; it ends when this is dropped.
pub struct Session {
    link: Link<Stream>,
    place: String,
}

impl Session {
    /// Connects and logs in.
    pub async fn open(place: &Place, login: &Login, trust: &Trust) -> Result<Self, String> {
        let reached = timeout(LIMIT, TcpStream::connect((place.host.as_str(), place.port))).await;
        let stream = reached
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|error| format!("cannot reach `{place}`: {error}"))?;
        let protected = timeout(LIMIT, protect(stream, &place.host, &login.tls, trust)).await;
        let stream = protected
            .map_err(|_| format!("no session with `{place}` within {LIMIT:?}"))?
            .map_err(|why| format!("no session with `{place}`: {why}"))?;
        let mut session = Self { link: Link::over(stream), place: place.to_string() };
        if let Some(command) = log_in(&login.user, login.password.as_deref()) {
            session.ask("log-in", &command).await?;
        }
        let server = session.ask("a look", &["INFO", "server"]).await?;
        let fit = driven(Info(server.text().unwrap_or_default()));
        fit.map_err(|why| format!("`{}` {why}", session.place))?;
        Ok(session)
    }

    /// Asks one thing; `what` names it if it is refused.
    pub async fn ask(&mut self, what: &str, command: &[&str]) -> Result<Reply, String> {
        let place = &self.place;
        let reply = timeout(LIMIT, self.link.ask(command)).await;
        let reply = reply.map_err(|_| format!("no answer of `{place}` to {what}"))?;
        let reply = reply.map_err(|error| format!("{what} at `{place}` broke: {error}"))?;
        match reply.refusal() {
            None => Ok(reply),
            Some(why) => Err(format!("`{place}` refuses {what}: {why}")),
        }
    }

    /// What it says of its replication.
    pub async fn seen(&mut self) -> Result<Seen, String> {
        match self.ask("a look", &["INFO", "replication"]).await? {
            Reply::Text(text) => Ok(Seen(text)),
            other => Err(format!("`{}` answers `{other:?}` to a look", self.place)),
        }
    }

    /// The numbers of the databases that hold keys.
    pub async fn databases(&mut self) -> Result<Vec<u32>, String> {
        let reply = self.ask("counting its keys", &["INFO", "keyspace"]).await?;
        let lines = reply.text().unwrap_or_default().lines();
        let number = |line: &str| line.strip_prefix("db")?.split(':').next()?.parse().ok();
        Ok(lines.filter_map(number).collect())
    }

    /// The token it holds; zero if there is none.
    pub async fn token(&mut self, app: &str) -> Result<u64, String> {
        let reply =
            self.ask("reading its token", &["GET", &format!("quorate:epoch:{app}")]).await?;
        Ok(reply.text().and_then(|held| held.parse().ok()).unwrap_or_default())
    }

    /// Has it refuse writes, as a fence does (`actors::database::redis`): a later promotion opens it. Gives the settings that
    /// were changed for that, as they were.
    pub async fn close(&mut self) -> Result<Vec<(&'static str, u64)>, String> {
        let mut changed = Vec::new();
        for (name, closes) in [(LAG, 0..=0), (REQUIRED, 0..=CLOSED - 1)] {
            let reply = self.ask("reading its settings", &["CONFIG", "GET", name]).await?;
            let value = reply.setting(name).and_then(|value| value.parse::<u64>().ok());
            let value = value.ok_or_else(|| format!("`{}` has no `{name}`", self.place))?;
            if closes.contains(&value) {
                let closed = (CLOSED + value).to_string();
                self.ask("being closed to writes", &["CONFIG", "SET", name, &closed]).await?;
                changed.push((name, value));
            }
        }
        Ok(changed)
    }

    /// Gives it back the settings that were changed: a replica takes no writes anyway.
    pub async fn settle(&mut self, changed: &[(&str, u64)]) -> Result<(), String> {
        for (name, value) in changed {
            let value = value.to_string();
            self.ask("its settings of before", &["CONFIG", "SET", name, &value]).await?;
        }
        Ok(())
    }

    /// Tells it to follow by TLS, if it is reached by that.
    pub async fn encrypt(&mut self, tls: &Tls) -> Result<(), String> {
        if let Some(setting) = follows_by(tls) {
            self.ask("encrypting what it follows", &setting).await?;
        }
        Ok(())
    }

    /// Tells it whom to follow, and how; the offset of the last byte of its log then.
    pub async fn follow(&mut self, primary: &Place, tls: &Tls) -> Result<u64, String> {
        self.encrypt(tls).await?;
        let (host, port) = (&primary.host, primary.port.to_string());
        let commands: [&[&str]; 4] =
            [&["MULTI"], &["INFO", "replication"], &["REPLICAOF", host, &port], &["EXEC"]];
        let mut last = Reply::Nothing;
        for command in commands {
            last = self.ask("following", command).await?;
        }
        let Reply::List(replies) = last else {
            return Err(format!("`{}` answers `{last:?}` to whom to follow", self.place));
        };
        if let Some(why) = replies.iter().find_map(Reply::refusal) {
            return Err(format!("`{}` refuses to follow: {why}", self.place));
        }
        let seen = replies.first().and_then(Reply::text).map(|text| Seen(text.to_owned()));
        Ok(seen.and_then(|seen| seen.position()).unwrap_or_default())
    }

    /// Its connection, for what is no reply, and where it leads.
    pub async fn into_stream(
        mut self,
        command: &[&str],
    ) -> Result<(tokio::io::BufReader<Stream>, String), String> {
        let sent = self.link.send(&[command]).await;
        sent.map_err(|error| format!("cannot ask `{}`: {error}", self.place))?;
        Ok((self.link.into_stream(), self.place))
    }
}
