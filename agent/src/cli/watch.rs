//! `quorate watch`: the status, once a second, in place.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::client::{AgentArgs, ClientError};
use super::status;
use super::table::{Out, clock};

/// What `quorate watch` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub every: u64,
    /// End after so many looks
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// The agent to ask
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// Asks and prints until interrupted. An agent that goes away is said, and looked for again.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    // The other screen, without a cursor; and back.
    let (enter, leave) = match out.terminal {
        true => ("\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"),
        false => ("", ""),
    };
    out.print(enter);
    let mut last = String::new();
    let ended = tokio::select! {
        ended = watch(args, out.terminal, out.colour, |text, frame| {
            out.print(frame);
            last = text.to_owned();
        }) => ended,
        _ = tokio::signal::ctrl_c() => true,
    };
    out.print(leave);
    if !leave.is_empty() {
        out.print(&last);
    }
    if ended { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Looks again and again; tells whether the last look succeeded.
async fn watch(
    args: &Args,
    terminal: bool,
    colour: bool,
    mut show: impl FnMut(&str, &str),
) -> bool {
    let client = args.agent.client();
    let mut ticks = tokio::time::interval(Duration::from_secs(args.every));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = 0;
    loop {
        ticks.tick().await;
        let found = client.get("/api/v1/status").await.and_then(|found| text(&found, colour));
        looks += 1;
        let time = clock(crate::clock::wall_ms());
        let (ok, text) = match found {
            Ok(text) => (true, format!("{text}\n{} UTC\n", &time[..time.len().min(19)])),
            Err(error) => {
                (false, format!("quorate: {error}\n\n{} UTC\n", &time[..time.len().min(19)]))
            }
        };
        show(&text, &frame(&text, terminal));
        if args.count.is_some_and(|count| count <= looks) {
            return ok;
        }
    }
}

fn text(document: &Value, colour: bool) -> Result<String, ClientError> {
    let (version, view, beside) = status::read(document)?;
    Ok(status::sheet(&view, &beside, &version, colour))
}

/// Writes over what was there, line by line, so that nothing flickers; what does not fit the screen is cut below.
fn frame(text: &str, terminal: bool) -> String {
    match terminal {
        false => format!("{text}\n"),
        true => {
            let rows = rustix::termios::tcgetwinsize(std::io::stdout())
                .map_or(usize::MAX, |size| usize::from(size.ws_row).max(2));
            let lines: Vec<_> = text.lines().collect();
            let mut frame = String::from("\x1b[H");
            for line in lines.iter().take(rows - 1) {
                frame.push_str(line);
                frame.push_str("\x1b[K\n");
            }
            if rows <= lines.len() {
                frame.push_str("… more: make the window taller, or use `quorate status`");
            }
            frame.push_str("\x1b[K\x1b[J");
            frame
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_there_are_no_codes() {
        assert_eq!(frame("a\nb\n", false), "a\nb\n\n");
    }
}
