//! What a set of voters can lose, in words.

use std::collections::BTreeMap;

use super::spec::Spec;
use crate::cli::table::Ink;

/// In how many regions a stack must be seen down, unless an app says otherwise.
const REGIONS: usize = 2;

/// What whoever makes this mesh should know of it.
pub fn advice(specs: &[Spec]) -> Vec<(Ink, String)> {
    let mut regions: BTreeMap<&str, usize> = BTreeMap::new();
    for spec in specs.iter().filter(|spec| spec.voter) {
        *regions.entry(spec.region.as_str()).or_default() += 1;
    }
    let voters: usize = regions.values().sum();
    let majority = voters / 2 + 1;
    let mut advice = Vec::new();
    if voters < 3 {
        let text = format!(
            "{voters} of {voters} voters must agree, so the loss of one stops the mesh: three voters in three regions \
             are the least"
        );
        advice.push((Ink::Bad, text));
    } else if voters.is_multiple_of(2) {
        let text = format!(
            "{voters} voters survive the loss of {}, no more than {} would: an odd number is better",
            voters - majority,
            voters - 1
        );
        advice.push((Ink::Wary, text));
    }
    let fatal: Vec<&str> = regions
        .iter()
        .filter(|(_, count)| voters - **count < majority)
        .map(|(region, _)| *region)
        .collect();
    for region in &fatal {
        let text = format!(
            "region {region} holds {} of {voters} voters: when it is lost, {majority} cannot be had any more and \
             nothing moves; no region may hold a majority",
            regions[region]
        );
        advice.push((Ink::Bad, text));
    }
    let narrow = regions.len() <= REGIONS && fatal.is_empty();
    if regions.len() < 3 && (narrow || voters >= 3) {
        let text = format!(
            "voters live in {} of the three regions they need: with two of your own, a third tiny agent anywhere is \
             the witness",
            regions.len()
        );
        advice.push((Ink::Bad, text));
    }
    if advice.iter().all(|(ink, _)| *ink != Ink::Bad) {
        let text = format!(
            "{voters} voters in {} regions: {majority} decide, and whichever region is lost, a majority in {REGIONS} \
             others is left",
            regions.len()
        );
        advice.insert(0, (Ink::Good, text));
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(regions: &str) -> Vec<String> {
        let specs: Vec<Spec> = regions
            .split_whitespace()
            .enumerate()
            .map(|(n, region)| format!("a{n},{region},voter,h{n}:1").parse().expect("good"))
            .collect();
        advice(&specs).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_good_set_is_called_good() {
        assert_eq!(
            of("a b c"),
            [
                "3 voters in 3 regions: 2 decide, and whichever region is lost, a majority in 2 others is left"
            ]
        );
        assert!(of("a a b b c")[0].starts_with("5 voters in 3 regions: 3 decide"));
    }

    #[test]
    fn a_bad_set_is_called_bad() {
        for (regions, claims) in [
            ("a", &["1 of 1 voters", "region a holds 1 of 1"][..]),
            (
                "a b",
                &["2 of 2 voters must agree", "region a holds 1 of 2", "region b holds 1 of 2"],
            ),
            ("a a b", &["region a holds 2 of 3", "voters live in 2 of the three"]),
            (
                "a b c d",
                &["4 voters in 4 regions", "4 voters survive the loss of 1, no more than 3"],
            ),
            ("a a a b c", &["region a holds 3 of 5 voters"]),
        ] {
            let found = of(regions);
            assert_eq!(found.len(), claims.len(), "{found:?}");
            for (found, claim) in found.iter().zip(claims) {
                assert!(found.starts_with(claim), "{found}");
            }
        }
    }
}
