//! `quorate members`: who is there, as one agent sees it.

use std::process::ExitCode;

use consensus::model::Abstention;
use consensus::view::{MemberView, View};

use super::client::AgentArgs;
use super::table::{Ink, Out, Sheet, span, widest};

/// What `quorate members` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The agent to ask
    #[command(flatten)]
    pub agent: AgentArgs,
    /// Print the agent's document as it is
    #[arg(long)]
    pub json: bool,
}

/// Asks, and prints.
pub async fn run(args: &Args, out: &mut Out<'_>) -> ExitCode {
    let client = args.agent.client();
    let printed = match args.json {
        true => client.get("/api/v1/members").await.map(|members| out.json(&members)),
        false => client
            .read::<View>("/api/v1/status")
            .await
            .map(|view| out.print(&sheet(&view, out.colour))),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(format_args!("quorate: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The members, by region.
pub fn sheet(view: &View, colour: bool) -> String {
    let mut members: Vec<_> = view.members.iter().collect();
    members.sort_by(|a, b| (&a.region, &a.agent).cmp(&(&b.region, &b.agent)));
    let region = |member: &MemberView| {
        member.region.as_ref().map_or_else(|| "unknown".into(), ToString::to_string)
    };
    let regions: Vec<_> = members.iter().map(|member| region(member)).collect();
    let widths = [
        widest(regions.iter().map(String::as_str).chain(["REGION"]), 16),
        widest(members.iter().map(|member| member.agent.as_str()).chain(["AGENT"]), 20),
    ];
    let mut sheet = Sheet::new(colour);
    sheet.cell(Ink::Faint, "REGION", widths[0]).cell(Ink::Faint, "AGENT", widths[1]);
    sheet.cell(Ink::Faint, "ROLE", 8).cell(Ink::Faint, "HEARD", 13).cell(Ink::Faint, "RTT", 8);
    sheet.put(Ink::Faint, "ADDRESS").end();
    for (member, region) in members.into_iter().zip(&regions) {
        let own = member.agent == view.agent;
        sheet.cell(Ink::Plain, region, widths[0]).cell(
            Ink::Strong,
            member.agent.as_str(),
            widths[1],
        );
        let role = match (member.voter, member.abstention) {
            (true, _) => "voter",
            (false, Some(Abstention::StandingBy)) => "standby",
            (false, _) => "observer",
        };
        sheet.cell(Ink::Plain, role, 8);
        let (ink, heard) = match (own || member.heard, member.alive, member.silent_ms) {
            (true, ..) if own => (Ink::Good, "itself".into()),
            (true, ..) => (Ink::Good, "yes".into()),
            (false, true, Some(ms)) => (Ink::Wary, format!("{} ago", span(ms))),
            (false, true, None) => (Ink::Wary, "by others".into()),
            (false, false, Some(ms)) => (Ink::Bad, format!("{} ago", span(ms))),
            (false, false, None) => (Ink::Bad, "never".into()),
        };
        sheet.cell(ink, &heard, 13);
        let rtt = member.rtt_ms.map_or_else(|| "-".into(), |ms| format!("{ms:.1} ms"));
        sheet.cell(Ink::Plain, &rtt, 8);
        let address = super::table::fit(member.address.as_deref().unwrap_or("-"), 34);
        sheet.put(Ink::Plain, &address).end();
        if let Some(why) = member.abstention.filter(|_| member.voter) {
            sheet.put(Ink::Wary, &format!("  its word does not count: {why}")).end();
        }
    }
    sheet.finish()
}

#[cfg(test)]
mod tests {
    use crate::cli::golden;
    use crate::status::fixture;

    #[test]
    fn members_stand_by_region() {
        golden::same("members.txt", &super::sheet(&fixture::view(), false));
    }
}
