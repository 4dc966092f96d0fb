//! Followed endpoints, for people: where they are, and what their source says where it says something else.

use consensus::view::{AppView, FollowingView};

use super::table::{Ink, Sheet, span};

/// One line for everything an app follows.
pub fn lines(sheet: &mut Sheet, app: &AppView) {
    for following in &app.following {
        let (ink, words) = following_words(following);
        sheet.labelled(2, "follows", ink, &words);
    }
}

/// Where followed endpoints are agreed to be, and what their source says where it says something else.
fn following_words(following: &FollowingView) -> (Ink, String) {
    let FollowingView { stack, name, sources, agreed, found, answered_ms, why, failures } =
        following;
    let mut words = format!("{name} of {stack}: {}", agreed.join(" "));
    if let (Some(_), false) = (answered_ms, agreed == found) {
        words += &format!("; named are {}", found.join(" "));
    }
    match (why, answered_ms) {
        (Some(why), Some(ago)) => {
            let (ago, times) = (span(*ago), failures);
            words += &format!("; last told {ago} ago, failed {times} times: {why}");
        }
        (Some(why), None) => words += &format!("; never told: {why}"),
        (None, None) => words += &format!("; not told yet by {}", sources.join(", else ")),
        (None, Some(_)) => {}
    }
    match why.is_none() && agreed == found {
        true => (Ink::Plain, words),
        false => (Ink::Wary, words),
    }
}
