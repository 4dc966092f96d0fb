//! One member of a scripted replica set, as a process of its own: `scripted-mongod ADDRESS SET-FILE USER PASSWORD`.

use tests::harness::mongodb::member;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, user, password] = words.as_slice() else {
        eprintln!("expected: scripted-mongod ADDRESS SET-FILE USER PASSWORD");
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
        let login = (user.clone(), password.clone());
        member::serve(listener, address.clone(), file.into(), login).await;
    });
}
