//! What is shown: a picture redrawn in place on a terminal, plain lines anywhere else.
//!
//! A frame is written over the one before, line by line and only when it differs, so that nothing flickers; what does not
//! fit is left out from the top of the story, never from its end.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use consensus::model::{Health, Phase, Verdict};
use consensus::view::{AppView, StackView, TargetView};
use tokio::time::{MissedTickBehavior, interval};

use super::report::Settings;
use super::stage::{ACTS, Progress, Stage, Told};
use super::watch::{Answer, Scene, State};
use super::world::{AGENTS, BLOG, SHOP, STACKS, domain};
use crate::cli::table::{Ink, Out, Sheet, fit, wrap};

/// Between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// The other screen, without a cursor and without wrapping; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Terminals that know this show a frame whole; others ignore it.
const HOLD: &str = "\x1b[?2026h\x1b[H";
const RELEASE: &str = "\x1b[J\x1b[?2026l";
/// Where the size cannot be asked.
const SIZE: (usize, usize) = (80, 24);
/// With fewer rows, empty lines are spared.
const ROOMY: usize = 28;
const CELL: usize = 4;
const NAME: usize = 9;
const TIME: usize = 9;

/// How the play is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Redrawn in place.
    Picture,
    /// One line after another.
    Lines,
    /// Not at all.
    Silent,
}

/// The show; leaves the terminal as it found it, however it ends.
pub struct Show {
    manner: Manner,
    told: usize,
    act: Option<usize>,
    entered: bool,
}

impl Drop for Show {
    fn drop(&mut self) {
        if self.entered {
            let mut stdout = std::io::stdout();
            let _ = stdout.write_all(LEAVE.as_bytes()).and_then(|()| stdout.flush());
        }
    }
}

impl Show {
    /// Nothing is shown yet.
    pub fn new(manner: Manner) -> Self {
        Self { manner, told: 0, act: None, entered: false }
    }

    /// Shows the play, for as long as this is polled.
    pub async fn run(&mut self, stage: &Stage, scene: &Scene, out: &mut Out<'_>) {
        let mut ticks = interval(FRAME);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        if self.manner == Manner::Picture {
            self.entered = true;
            out.print(ENTER);
        }
        let mut last = String::new();
        loop {
            ticks.tick().await;
            match self.manner {
                Manner::Picture => {
                    let frame = picture(stage, scene, size(), out.colour);
                    if frame != last {
                        out.print(&format!("{HOLD}{frame}{RELEASE}"));
                        last = frame;
                    }
                }
                Manner::Lines => self.tell(stage, out),
                Manner::Silent => {}
            }
        }
    }

    /// Ends the show; the whole story is left on the screen of before.
    pub fn end(&mut self, stage: &Stage, out: &mut Out<'_>) {
        if std::mem::take(&mut self.entered) {
            out.print(LEAVE);
        }
        if self.manner != Manner::Silent {
            self.tell(stage, out);
        }
    }

    /// Prints the lines that were not printed yet.
    fn tell(&mut self, stage: &Stage, out: &mut Out<'_>) {
        let told = stage.told();
        let mut sheet = Sheet::new(out.colour);
        if self.told == 0 && self.act.is_none() {
            settings(&mut sheet);
        }
        for line in &told.lines[self.told..] {
            if self.act != Some(line.act) {
                self.act = Some(line.act);
                let (title, about) = ACTS[line.act];
                sheet.end();
                sheet.put(Ink::Strong, title).put(Ink::Faint, &format!(": {about}")).end();
            }
            let width = if out.terminal { size().0.max(2 * TIME) - TIME - 2 } else { usize::MAX };
            for (row, text) in wrap(&line.text, width).iter().enumerate() {
                let time = if row == 0 { after(line.after) } else { String::new() };
                sheet.cell(Ink::Faint, &time, TIME).put(line.ink, text).end();
            }
        }
        self.told = told.lines.len();
        drop(told);
        out.print(&sheet.finish());
    }
}

fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    size.ok().filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(SIZE)
}

fn after(span: Duration) -> String {
    format!("{:>+7.3} s", span.as_secs_f64())
}

fn settings(sheet: &mut Sheet) {
    let Settings { demo, production } = Settings::default();
    sheet.cell(Ink::Faint, "files say", 9).put(Ink::Plain, &demo.to_string()).end();
    sheet.cell(Ink::Faint, "usually", 9).put(Ink::Plain, &production.to_string()).end();
}

/// One frame.
fn picture(stage: &Stage, scene: &Scene, (columns, rows): (usize, usize), colour: bool) -> String {
    // The last column stays empty: clearing the rest of a full line would take its last letter.
    let columns = columns.saturating_sub(1);
    let mut sheet = Sheet::new(colour);
    let roomy = ROOMY <= rows;
    let gap = |sheet: &mut Sheet| {
        if roomy {
            sheet.end();
        }
    };
    let told = stage.told();
    title(&mut sheet, &told, columns);
    settings(&mut sheet);
    gap(&mut sheet);
    acts(&mut sheet, &told);
    gap(&mut sheet);
    {
        let state = scene.state();
        grid(&mut sheet, &state);
        gap(&mut sheet);
        apps(&mut sheet, &state, columns);
    }
    sheet.end();
    let head = sheet.finish();
    let left = rows.saturating_sub(head.lines().count() + 1);
    let story = story(&told, left, columns, colour);
    let mut frame = String::new();
    for line in head.lines().chain(story.lines()).take(rows) {
        if !frame.is_empty() {
            frame.push_str("\r\n");
        }
        frame.push_str(line);
        frame.push_str("\x1b[K");
    }
    frame
}

fn title(sheet: &mut Sheet, told: &Told, columns: usize) {
    let elapsed = format!("{:.1} s", told.began.elapsed().as_secs_f64());
    let name = "quorate demo";
    let about = "  five agents, three regions, all on loopback";
    let space = columns.saturating_sub(name.len() + about.len() + elapsed.len());
    sheet.put(Ink::Strong, name).put(Ink::Faint, about);
    sheet.put(Ink::Plain, &" ".repeat(space)).put(Ink::Strong, &elapsed).end();
}

fn acts(sheet: &mut Sheet, told: &Told) {
    for ((title, _), progress) in ACTS.iter().zip(told.acts) {
        let (ink, mark) = match progress {
            Progress::Ahead => (Ink::Faint, "·"),
            Progress::Now => (Ink::Strong, "▸"),
            Progress::Done(true) => (Ink::Good, "✓"),
            Progress::Done(false) => (Ink::Bad, "✗"),
        };
        sheet.put(ink, &format!("{mark} {title}")).put(Ink::Plain, "  ");
    }
    sheet.end();
}

/// One stack of the grid, as somebody knows it.
struct Column<'s> {
    title: String,
    stack: &'s StackView,
    app: &'s AppView,
    width: usize,
}

/// Who sees what: a row for each agent, from its own status.
fn grid(sheet: &mut Sheet, state: &State) {
    let somebody =
        AGENTS.iter().find_map(|(name, ..)| Some([state.app(name, SHOP)?, state.app(name, BLOG)?]));
    let Some(apps) = somebody else {
        for (name, region, _) in AGENTS {
            let heard = state.views.get(name).map(|view| view.quorum.heard);
            let words = heard.map_or("starts".to_owned(), |heard| format!("hears {heard} of 5"));
            sheet.cell(Ink::Plain, name, NAME).cell(Ink::Faint, region, CELL);
            sheet.put(Ink::Faint, &words).end();
        }
        for _ in 0..3 {
            sheet.end();
        }
        return;
    };
    let columns: Vec<Column<'_>> = apps.iter().flat_map(|app| app_columns(app)).collect();
    sheet.cell(Ink::Plain, "", NAME);
    for column in &columns {
        let ink = if column.stack.active { Ink::Strong } else { Ink::Faint };
        sheet.cell(ink, &column.title, column.width);
    }
    sheet.end();
    sheet.cell(Ink::Plain, "", NAME);
    for column in &columns {
        let names = column.stack.targets.iter().map(short);
        let names: Vec<_> = names.map(|name| format!("{name:<CELL$}")).collect();
        sheet.cell(Ink::Faint, &names.join(" "), column.width);
    }
    sheet.end();
    for (name, ..) in AGENTS {
        row(sheet, state, name, &columns);
    }
    sheet.cell(Ink::Faint, "the rule", NAME);
    for column in &columns {
        let worst = [column.stack.web, column.stack.data].into_iter().flatten().min();
        let (ink, word) = match worst {
            Some(Verdict::Down) => (Ink::Bad, "down"),
            Some(Verdict::Contested) => (Ink::Wary, "contested"),
            Some(Verdict::Standing) => (Ink::Good, "standing"),
            None => (Ink::Faint, ""),
        };
        sheet.cell(ink, word, column.width);
    }
    sheet.end();
}

fn app_columns(app: &AppView) -> impl Iterator<Item = Column<'_>> {
    STACKS.iter().filter_map(|(name, _)| {
        let stack = app.stacks.iter().find(|stack| stack.stack.as_str() == *name)?;
        let active = if stack.active { " ●" } else { "" };
        let title = format!("{}/{name}{active}", app.app);
        let width = (stack.targets.len() * (CELL + 1) - 1).max(title.chars().count());
        Some(Column { title, stack, app, width })
    })
}

/// A target's name in the width of a cell.
fn short(target: &TargetView) -> String {
    match target.database {
        true => "db".to_owned(),
        false => target.target.as_str().replace('-', ""),
    }
}

fn row(sheet: &mut Sheet, state: &State, agent: &str, columns: &[Column<'_>]) {
    let here = state.views.get(agent);
    sheet.cell(if here.is_some() { Ink::Plain } else { Ink::Bad }, agent, NAME);
    if here.is_none() {
        sheet.put(Ink::Bad, "gone").end();
        return;
    }
    for column in columns {
        let own = state.app(agent, column.app.app.as_str());
        let own = own.and_then(|app| app.stacks.iter().find(|it| it.stack == column.stack.stack));
        let targets = own.map(|stack| &stack.targets[..]).unwrap_or_default();
        for target in targets {
            let belief = target.beliefs.iter().find(|(by, _)| by.as_str() == agent);
            let (ink, word) = match belief.map(|(_, belief)| belief.health) {
                Some(Health::Up) => (Ink::Good, "up"),
                Some(Health::Degraded) => (Ink::Wary, "degr"),
                Some(Health::Down) => (Ink::Bad, "down"),
                Some(Health::Unknown) | None => (Ink::Faint, "?"),
            };
            sheet.put(ink, word).put(Ink::Plain, &" ".repeat(CELL - word.len() + 1));
        }
        let used = targets.len() * (CELL + 1);
        sheet.put(Ink::Plain, &" ".repeat((column.width + 2).saturating_sub(used)));
    }
    sheet.end();
}

/// What is agreed, what DNS answers, and what happens next.
fn apps(sheet: &mut Sheet, state: &State, columns: usize) {
    for app in [SHOP, BLOG] {
        let view = AGENTS.iter().find_map(|(name, ..)| state.app(name, app));
        sheet.cell(Ink::Strong, app, 4);
        let Some(view) = view else {
            sheet.put(Ink::Faint, "not defined yet").end();
            continue;
        };
        let (ink, doing) = match (view.phase, &view.executor) {
            (Phase::Idle, _) => (Ink::Plain, "idle".to_owned()),
            (phase, Some(executor)) => (Ink::Wary, format!("{phase} by {executor}")),
            (phase, None) => (Ink::Wary, phase.to_string()),
        };
        sheet.cell(Ink::Plain, &format!("epoch {}", view.epoch), 7).cell(ink, &doing, 19);
        let words = format!("{} is {}", domain(app), answers(state, app));
        sheet.put(Ink::Plain, &fit(&words, columns.saturating_sub(36))).end();
        sheet.cell(Ink::Faint, "", 4).cell(Ink::Faint, "next", 7);
        sheet.put(Ink::Faint, &fit(&view.next, columns.saturating_sub(15))).end();
    }
    if !state.rows.is_empty() {
        sheet.cell(Ink::Strong, "rows", 4);
        sheet.put(Ink::Plain, &format!("{} acknowledged", state.rows.len())).end();
    }
}

/// What the DNS servers that answer say.
fn answers(state: &State, app: &'static str) -> String {
    let said = AGENTS.iter().filter_map(|(name, ..)| match state.answer(app, name)? {
        Answer::Addresses(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            Some(addresses.join(" "))
        }
        Answer::Empty | Answer::Failed(_) | Answer::Silent => None,
    });
    let said: BTreeSet<_> = said.collect();
    let said: Vec<_> = said.into_iter().collect();
    if said.is_empty() { "not answered".to_owned() } else { said.join(" or ") }
}

/// The last lines of the story, as many as fit, and what is waited for.
fn story(told: &Told, rows: usize, columns: usize, colour: bool) -> String {
    let mut lines = Vec::new();
    let mut act = None;
    for line in &told.lines {
        if act != Some(line.act) {
            act = Some(line.act);
            let (title, about) = ACTS[line.act];
            let mut sheet = Sheet::new(colour);
            sheet.put(Ink::Strong, title);
            sheet.put(Ink::Faint, &fit(&format!(": {about}"), columns.saturating_sub(title.len())));
            lines.push(sheet.finish());
        }
        let mut sheet = Sheet::new(colour);
        sheet.cell(Ink::Faint, &after(line.after), TIME);
        sheet.put(line.ink, &fit(&line.text, columns.saturating_sub(TIME + 2)));
        lines.push(sheet.finish());
    }
    if !told.waiting.is_empty() {
        let mut sheet = Sheet::new(colour);
        sheet.cell(Ink::Plain, "", TIME);
        sheet.put(
            Ink::Faint,
            &fit(&format!("… waiting for {}", told.waiting), columns.saturating_sub(TIME + 2)),
        );
        lines.push(sheet.finish());
    }
    lines[lines.len().saturating_sub(rows)..].join("\n")
}
