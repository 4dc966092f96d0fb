//! Whoever holds a copy is told of changes from the address that it knows, and again until it confirms.

use std::time::Instant;

use hickory_proto::op::{MessageType, OpCode, ResponseCode};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_refuses_or_does_not_sign_is_told_again_from_the_address_that_it_knows() {
    let copy = UdpSocket::bind("127.0.0.78:0").expect("a socket");
    copy.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let (_sender, receiver) = watch::channel(agreed(&[app(1, "east")]));
    let mut config = config(Duration::from_secs(300));
    let own: SocketAddr = "127.0.0.77:0".parse().expect("an address");
    config.listen = vec![own];
    let address = copy.local_addr().expect("bound");
    config.secondaries = vec![config::Secondary { address, key: key(secondary::SECRET) }];
    let _authority = authority::start(&config, receiver).expect("a free port");

    let mut before: Option<Instant> = None;
    // Refused, and confirmed by who does not sign, as anybody could.
    for code in [ResponseCode::Refused, ResponseCode::NoError, ResponseCode::NoError] {
        let mut packet = [0; 1232];
        let (length, from) = copy.recv_from(&mut packet).expect("told again");
        assert_eq!(from.ip(), own.ip());
        // The first wait is a second; a refusal comes at once.
        assert!(before.is_none_or(|it| it.elapsed() > Duration::from_millis(800)), "in no haste");
        before = Some(Instant::now());
        let mut answer = Message::from_vec(&packet[..length]).expect("DNS");
        assert_eq!(answer.metadata.op_code, OpCode::Notify);
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.response_code = code;
        answer.take_signature();
        copy.send_to(&answer.to_vec().expect("encodes"), from).expect("loopback");
    }
}
