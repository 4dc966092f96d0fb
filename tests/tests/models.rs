//! The small models in every test run, and every rule that a model knows, broken once. `./tests/run models` goes through
//! all of them.

use simulator::models::sheets;

/// A model of more states than this is left to `./tests/run models`.
const SMALL: usize = 20_000;

#[test]
fn a_small_model_holds_and_has_as_many_states_as_are_written_down() {
    for sheet in sheets().filter(|sheet| sheet.states <= SMALL) {
        let faults = sheet.faults(&(sheet.explore)(None));
        assert!(faults.is_empty(), "{}: {}", sheet.name, faults.join("; "));
    }
}

#[test]
fn a_rule_that_a_model_knows_is_missed_there_when_it_is_broken() {
    for sheet in sheets().filter(|sheet| sheet.states <= SMALL) {
        for mutant in sheet.knows {
            let found = (sheet.explore)(Some(*mutant));
            assert!(found.broken.is_some(), "{} bears {mutant:?}", sheet.name);
        }
    }
}
