//! What an agent shows to whoever scrapes it.

use std::io::{Error, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use consensus::model::WarningKind;

use super::agents::Agent;

const LIMIT: Duration = Duration::from_secs(5);

impl Agent<'_> {
    /// All its metrics, as text.
    pub fn metrics(&self) -> Result<String, String> {
        let asked = || {
            let mut stream = UnixStream::connect(self.socket())?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.write_all(
                b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            )?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        asked().map_err(|error: Error| format!("{}: {error}", self.name))
    }

    /// One of them by its name and labels, if it is there.
    pub fn metric(&self, sample: &str) -> Result<Option<f64>, String> {
        let text = self.metrics()?;
        let mut lines =
            text.lines().filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        lines.next().map(|it| it.parse().map_err(|_| format!("{sample} {it}"))).transpose()
    }

    /// Is this warning of a stack's database among them?
    pub fn scrapes(&self, kind: WarningKind, [stack, database]: [&str; 2]) -> Result<bool, String> {
        let labels =
            format!("app=\"shop\",stack=\"{stack}\",target=\"{database}\",kind=\"{kind}\"");
        Ok(self.metric(&format!("quorate_database_warning{{{labels}}}"))? == Some(1.0))
    }
}
