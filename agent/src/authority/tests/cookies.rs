//! Cookies, and the OPT records that they come in.

use super::*;

#[test]
fn a_cookie_is_answered_and_known_again() {
    let mut desk =
        desk(Table::new(&Arc::new(Zones::new(&agreed(vec![shop()]), &extra()))), Transport::Udp, 1);
    let server_half = |told: &[u8]| told[told.len() - 16..].to_vec();
    let first = with_edns(question("shop.example.", RecordType::A), 1232, Some(b"mycookie".into()));
    let told = ask(&mut desk, &bytes(&first)).expect("the first is within the limit");
    assert_eq!(told[told.len() - 24..told.len() - 16], *b"mycookie");
    let both = [b"mycookie".as_slice(), &server_half(&told)].concat();
    let known = with_edns(question("shop.example.", RecordType::A), 1232, Some(both));
    for _ in 0..50 {
        let told = ask(&mut desk, &bytes(&known)).expect("who proved its address has no limit");
        let told = Message::from_vec(&told).expect("DNS");
        assert!(!told.metadata.truncation);
    }
    // Halves of impossible lengths (RFC 7873 section 5.2.2).
    for length in [0, 7, 9, 15, 41] {
        let odd = with_edns(question("shop.example.", RecordType::A), 1232, Some(vec![1; length]));
        let told = ask(&mut shop_desk(Transport::Udp), &bytes(&odd)).expect("an answer");
        let told = Message::from_vec(&told).expect("DNS");
        assert_eq!(told.metadata.response_code, ResponseCode::FormErr, "{length}");
        assert!(told.edns.is_some(), "an OPT record is answered with one");
    }
}

#[test]
fn who_asks_for_nothing_but_a_cookie_gets_one() {
    let bare = |cookie: Option<Vec<u8>>| {
        let mut asked = with_edns(question("shop.example.", RecordType::A), 1232, cookie);
        asked.queries.clear();
        bytes(&asked)
    };
    let told = ask(&mut shop_desk(Transport::Udp), &bare(Some(b"mycookie".into())));
    let told = told.expect("RFC 7873 section 5.4");
    assert_eq!(told[told.len() - 24..told.len() - 16], *b"mycookie");
    let told = Message::from_vec(&told).expect("DNS");
    assert_eq!(told.metadata.response_code, ResponseCode::NoError);
    assert!(told.queries.is_empty() && told.answers.is_empty());
    // Nothing was asked for at all.
    let told = ask(&mut shop_desk(Transport::Udp), &bare(None)).expect("an answer");
    let told = Message::from_vec(&told).expect("DNS");
    assert_eq!(told.metadata.response_code, ResponseCode::FormErr);
    assert!(told.edns.is_some());
}
