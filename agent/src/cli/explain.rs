//! `quorate explain`: who sees what, what the rule makes of it, and what follows.

use std::process::ExitCode;

use consensus::model::AppId;

use super::client::{AgentArgs, Client, ClientError};
use super::findings::unready_words;
use super::history;
use super::status::{health_ink, restraints, verdict_word};
use super::table::{Ink, Out, Sheet, WIDTH, bytes, clock, fit, of, widest};
use crate::status::explain::{Explanation, Sight, StackSight, Sum, Witness};
use consensus::view::View;

/// What `quorate explain` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The app; every app if left out
    pub app: Option<AppId>,
    /// Explain this decision of the past
    #[arg(long, value_name = "N", requires = "app")]
    pub epoch: Option<u32>,
    /// The agent to ask
    #[command(flatten)]
    pub agent: AgentArgs,
    /// Print the agent's document as it is
    #[arg(long)]
    pub json: bool,
}

/// Asks, and prints.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    match explain(args, out).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(format_args!("quorate: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn explain(args: &Args, out: &mut Out<'_>) -> Result<(), ClientError> {
    let client = args.agent.client();
    let apps = match &args.app {
        Some(app) => vec![app.clone()],
        None => apps(&client).await?,
    };
    if apps.is_empty() {
        out.print("no apps yet: `quorate apply FILE` gives the mesh one\n");
    }
    for (number, app) in apps.iter().enumerate() {
        let epoch = args.epoch.map_or_else(String::new, |epoch| format!("?epoch={epoch}"));
        let path = format!("/api/v1/explain/{app}{epoch}");
        match args.json {
            true => out.json(&client.get(&path).await?),
            false => {
                let text = sheet(&client.read(&path).await?, out.colour);
                out.print(if number == 0 { "" } else { "\n" });
                out.print(&text);
            }
        }
    }
    Ok(())
}

async fn apps(client: &Client) -> Result<Vec<AppId>, ClientError> {
    let view: View = client.read("/api/v1/status").await?;
    Ok(view.apps.into_iter().map(|app| app.app).collect())
}

/// Everything, for a person.
pub fn sheet(found: &Explanation, colour: bool) -> String {
    let mut sheet = Sheet::new(colour);
    let decision = &found.decision;
    sheet.put(Ink::Strong, &fit(found.app.as_str(), 30));
    let words = format!(
        "  epoch {} {}, active {}, revision {}",
        found.epoch,
        found.phase,
        fit(found.active.as_str(), 30),
        found.revision
    );
    sheet.put(Ink::Plain, &words).end();
    let way = format!("{} {} → {}", decision.kind, decision.from, decision.to);
    sheet.labelled(2, "decided", Ink::Plain, &way);
    let at = clock(decision.wall_ms);
    sheet.labelled(2, "by", Ink::Plain, &format!("{} at {at} UTC", decision.by));
    sheet.labelled(2, "because", Ink::Plain, &decision.reason);
    for (name, fence) in &decision.fence {
        let ink = if fence.proven { Ink::Good } else { Ink::Wary };
        sheet.labelled(2, "fence", ink, &format!("{name}: {}", fence.text));
    }
    if let Some(loss) = decision.loss_bytes {
        let left = format!("{}{} of log not taken over", bytes(loss), of(decision.loss_ms));
        sheet.labelled(2, "left", Ink::Plain, &left);
    }
    for sight in &found.sights {
        sheet.end();
        sight_lines(&mut sheet, sight);
    }
    if found.sights.is_empty() {
        sheet.labelled(2, "evidence", Ink::Plain, "none: an operator's decision needs none");
    }
    if !found.entries.is_empty() {
        sheet.end();
        sheet.put(Ink::Strong, "what happened").end();
        history::lines(&mut sheet, &found.entries);
    }
    sheet.end();
    if let Some(next) = &found.next {
        sheet.labelled(0, "next", Ink::Strong, next);
    }
    if let Some(damping) = &found.damping {
        restraints(&mut sheet, 0, found.freeze.as_ref(), damping);
    }
    for why in &found.unready {
        sheet.labelled(0, "unready", Ink::Wary, why);
    }
    for it in &found.readiness {
        sheet.labelled(0, "unready", Ink::Wary, &unready_words(it));
    }
    let text = sheet.finish();
    format!("{}\n", text.trim_end())
}

fn sight_lines(sheet: &mut Sheet, sight: &Sight) {
    sheet.put(Ink::Strong, &format!("who sees what, {}", sight.title)).end();
    let targets = sight.stacks.iter().flat_map(|stack| &stack.targets);
    let names = widest(targets.map(|target| target.target.as_str()), 20);
    let agents = sight.witnesses.iter().map(|witness| witness.agent.as_str());
    let regions = sight.witnesses.iter().map(region);
    let width = widest(agents.chain(regions), 12).max(8);
    let columns = ((WIDTH - 4 - names) / (width + 2)).max(1);
    for witnesses in sight.witnesses.chunks(columns) {
        for (ink, word) in [
            (Ink::Plain, (|witness| witness.agent.as_str()) as fn(&Witness) -> &str),
            (Ink::Faint, region),
        ] {
            sheet.put(Ink::Plain, "  ").cell(Ink::Plain, "", names);
            for witness in witnesses {
                sheet.cell(ink, word(witness), width);
            }
            sheet.end();
        }
        for stack in &sight.stacks {
            grid(sheet, stack, witnesses, names, width);
        }
    }
    sheet.put(Ink::Faint, "  (word) does not count; * answers name this stack").end();
    for witness in &sight.witnesses {
        if let Some(why) = &witness.silent {
            let words = format!("{}: {why}", witness.agent);
            sheet.labelled(2, "silent", Ink::Wary, &words);
        } else if !witness.voter {
            sheet.labelled(2, "observer", Ink::Faint, witness.agent.as_str());
        }
    }
    faults(sheet, sight);
    sheet.end();
    sheet.put(Ink::Strong, "what the rule makes of it").end();
    for stack in &sight.stacks {
        for sum in &stack.sums {
            sum_line(sheet, stack, sum);
        }
        for why in stack.unfit.iter().filter(|_| !stack.active) {
            sheet.labelled(4, "unfit", Ink::Wary, why);
        }
    }
}

fn region(witness: &Witness) -> &str {
    witness.region.as_ref().map_or("unknown", |region| region.as_str())
}

fn grid(sheet: &mut Sheet, stack: &StackSight, witnesses: &[Witness], names: usize, width: usize) {
    let mark = if stack.active { "* " } else { "  " };
    sheet.put(Ink::Strong, mark).put(Ink::Strong, &fit(stack.stack.as_str(), 40)).end();
    for target in &stack.targets {
        sheet.put(Ink::Plain, "  ").cell(Ink::Plain, target.target.as_str(), names);
        for witness in witnesses {
            match target.cells.get(&witness.agent) {
                None => sheet.cell(Ink::Faint, "-", width),
                Some(cell) if cell.counts => {
                    sheet.cell(health_ink(cell.health), &cell.health.to_string(), width)
                }
                Some(cell) => sheet.cell(Ink::Faint, &format!("({})", cell.health), width),
            };
        }
        sheet.end();
    }
}

/// Each fault once, with how many see it.
fn faults(sheet: &mut Sheet, sight: &Sight) {
    for stack in &sight.stacks {
        for target in &stack.targets {
            let mut counts: Vec<(&str, usize)> = Vec::new();
            for fault in target.cells.values().filter_map(|cell| cell.fault.as_deref()) {
                match counts.iter_mut().find(|(known, _)| *known == fault) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((fault, 1)),
                }
            }
            for (fault, count) in counts {
                let words = format!("{}/{}: {fault} (seen by {count})", stack.stack, target.target);
                sheet.labelled(2, "fault", Ink::Plain, &words);
            }
        }
    }
}

fn sum_line(sheet: &mut Sheet, stack: &StackSight, sum: &Sum) {
    let (ink, word) = verdict_word(sum.verdict);
    let name = format!("  {} {}: ", fit(stack.stack.as_str(), 30), sum.part);
    sheet.put(Ink::Plain, &name).put(ink, word).end();
    sheet.put(Ink::Plain, "    ").put(Ink::Plain, &sum.text).end();
}

#[cfg(test)]
mod tests {
    use consensus::model::Phase;

    use super::*;
    use crate::cli::golden;
    use crate::status::{explain, fixture};

    #[test]
    fn the_present_is_explained_with_its_sums() {
        let view = fixture::view();
        let state = fixture::shop_state(Phase::Promoting);
        let found = explain::now(&view, &view.apps[1], Some(&state));
        golden::same("explain.txt", &sheet(&found, false));
    }

    #[test]
    fn the_past_is_explained_with_its_evidence() {
        let entries = history::tests::entries();
        let found = explain::past(&fixture::view(), &fixture::shop_state(Phase::Idle), entries);
        golden::same("explain-epoch.txt", &sheet(&found, false));
    }
}
