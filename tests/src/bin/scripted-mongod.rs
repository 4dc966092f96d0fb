//! One member of a scripted replica set, as a process of its own:
//! `scripted-mongod ADDRESS SET-FILE USER PASSWORD [CERTIFICATE KEY]`, with files of PEM: over TLS alone.

use tests::harness::mongodb::{member, protected};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, user, password, tls @ ..] = words.as_slice() else { usage() };
    let read = |file: &String| std::fs::read_to_string(file).expect("a file of PEM");
    let tls = match tls {
        [] => None,
        [certificate, key] => Some(protected((&read(certificate), &read(key)), None)),
        _ => usage(),
    };
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
        let login = (user.clone(), password.clone());
        member::serve(listener, address.clone(), file.into(), login, tls).await;
    });
}

fn usage() -> ! {
    eprintln!("expected: scripted-mongod ADDRESS SET-FILE USER PASSWORD [CERTIFICATE KEY]");
    std::process::exit(2);
}
