//! Who still hands out old answers, in words.

use consensus::view::AppView;

use super::table::{Ink, Sheet, span};
use crate::tails::TailView;

/// A line for each old answer, and for each resolver that has let go or does not tell.
pub fn lines(sheet: &mut Sheet, app: &AppView, tails: &[TailView]) {
    let tails = tails.iter().filter(|tail| tail.app == app.app);
    for it in tails.flat_map(|tail| &tail.resolvers) {
        for old in &it.old {
            let left = span(old.left_ms);
            let words =
                format!("{} still has {} of {} for {left}", it.resolver, old.value, old.name);
            sheet.labelled(2, "resolver", Ink::Wary, &words);
        }
        match (&it.why, it.followed_ms) {
            (Some(why), _) => {
                let words = format!("{} does not tell: {why}", it.resolver);
                sheet.labelled(2, "resolver", Ink::Wary, &words);
            }
            (None, Some(took)) => {
                let words = format!("{} had followed after {}", it.resolver, span(took));
                sheet.labelled(2, "resolver", Ink::Good, &words);
            }
            (None, None) => {}
        }
    }
}
