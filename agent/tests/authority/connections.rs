//! Connections that are too many, or that keep their places without using them.

use tokio::net::TcpSocket;

use super::*;

/// A connection from this address.
async fn open_from(last: u8, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::new(127, 0, 9, last), 0).into()).expect("all of 127/8 is ours");
    let stream = socket.connect(server).await.expect("accepted").into_std().expect("its own");
    stream.set_nonblocking(false).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_few_from_one_address_and_end_when_idle() {
    let (authority, server, _sender) = serve(Duration::from_secs(300));
    let plain = question("shop.example.", RecordType::A);
    let open = || {
        let stream = TcpStream::connect(server).expect("loopback");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream
    };
    let mut streams: Vec<_> = (0..16).map(|_| open()).collect();
    for stream in &mut streams {
        assert_eq!(ask_tcp(stream, &plain).expect("an answer").answers.len(), 1);
    }
    assert!(ask_tcp(&mut open(), &plain).is_err(), "one too many");
    assert_eq!(authority.counters().turned_away(), 1);

    // One that ends makes room; one that says nothing is ended.
    drop(streams.pop());
    let again = async || ask_tcp(&mut open(), &plain).ok();
    eventually("there is room again", again).await;
    let began = Instant::now();
    let mut rest = [0; 1];
    assert_eq!(streams[0].read(&mut rest).expect("closed, not broken"), 0);
    println!("idle connection closed after {:?}", began.elapsed());

    // What is no DNS ends the connection.
    let mut stream = open();
    stream.write_all(&[0, 3, 1, 2, 3]).expect("loopback");
    assert_eq!(stream.read(&mut rest).expect("closed, not broken"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_few_from_all_addresses_together() {
    let (authority, server, _sender) = serve(Duration::from_secs(300));
    let plain = question("shop.example.", RecordType::A);
    let mut streams = Vec::new();
    for last in 1..=16 {
        for _ in 0..16 {
            streams.push(open_from(last, server).await);
            let stream = streams.last_mut().expect("pushed");
            assert_eq!(ask_tcp(stream, &plain).expect("an answer").answers.len(), 1);
        }
    }
    let mut another = open_from(17, server).await;
    assert!(ask_tcp(&mut another, &plain).is_err(), "the 257th");
    assert_eq!(authority.counters().turned_away(), 1);
    // Whoever asks by datagram is answered all the same, and one that ends makes room for anybody.
    assert_eq!(ask(server, &plain).answers.len(), 1);
    let began = Instant::now();
    drop(streams.pop());
    eventually("there is room again", async || {
        let mut another = open_from(17, server).await;
        ask_tcp(&mut another, &plain).ok()
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(4), "the others did not idle for long enough");
}

/// How long it takes until the server ends a connection with whom this is done to it every so often.
fn until_ended(stream: &mut TcpStream, mut dawdle: impl FnMut(&mut TcpStream) -> bool) -> Duration {
    let began = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(400))).expect("a limit");
    let mut rest = [0; 1];
    loop {
        assert!(began.elapsed() < PATIENCE, "it goes on");
        if !dawdle(stream) || matches!(stream.read(&mut rest), Ok(0)) {
            return began.elapsed();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dawdles_within_a_query_is_ended() {
    let (_authority, server, _sender) = serve(Duration::from_secs(300));
    let packet = question("shop.example.", RecordType::A).to_vec().expect("encodes");
    let mut bytes = (packet.len() as u16).to_be_bytes().into_iter().chain(packet);
    let mut stream = open_from(1, server).await;
    // A byte of it now and then, and never all.
    let lasted = until_ended(&mut stream, |stream| {
        stream.write_all(&[bytes.next().expect("it would take longer")]).is_ok()
    });
    assert!(Duration::from_secs(4) < lasted && lasted < Duration::from_secs(8), "{lasted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_no_answers_is_ended() {
    let (_authority, server, _sender) = serve(Duration::from_secs(300));
    let packet = question("many.shop.example.", RecordType::A).to_vec().expect("encodes");
    let query: Vec<u8> = (packet.len() as u16).to_be_bytes().into_iter().chain(packet).collect();
    let mut stream = open_from(1, server).await;
    stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a limit");
    let (began, mut asked) = (Instant::now(), 0_u32);
    // Its answers fill what the kernel holds for both sides; then it is not heard any more, and then ended.
    let ended = loop {
        match stream.write_all(&query) {
            Ok(()) => asked += 1,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => break error,
        }
        assert!(began.elapsed() < PATIENCE, "it goes on after {asked} queries");
    };
    let lasted = began.elapsed();
    println!("{asked} queries unread, ended after {lasted:?}: {ended}");
    assert!(Duration::from_secs(4) < lasted && lasted < Duration::from_secs(10), "{lasted:?}");
    let plain = question("shop.example.", RecordType::A);
    assert_eq!(ask(server, &plain).answers.len(), 1);
}
