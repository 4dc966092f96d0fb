//! `models [NAME]`: goes to every state of every model, or of those whose name contains `NAME`.
//!
//! Prints a table: how many states, how deep, how long. The last line is for machines: `N models, V wrong`; the exit status
//! is 1 if a model broke, could not come to where it should, or has another number of states than is written down.

use std::process::ExitCode;

use simulator::models::sheets;

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let (mut explored, mut wrong) = (0, 0);
    for sheet in sheets().filter(|sheet| sheet.name.contains(&wanted)) {
        let found = (sheet.explore)(None);
        explored += 1;
        println!(
            "{:<45} {:>10} states {:>4} deep {:>7.1} s",
            sheet.name,
            found.states,
            found.depth,
            found.took.as_secs_f64()
        );
        let faults = sheet.faults(&found);
        wrong += usize::from(!faults.is_empty());
        faults.iter().for_each(|fault| println!("    {fault}"));
    }
    println!("{explored} models, {wrong} wrong");
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
