//! The web server of a stack: nginx, which answers `/healthz` with the name of its host.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::fabric::address;
use super::lab::Lab;
use super::process::Process;
use super::wait::eventually;

/// Far longer than a start takes (0.2 s), for a machine that is busy compiling.
const START: Duration = Duration::from_secs(20);

/// nginx on port 80 of a host.
pub struct Web<'a> {
    lab: &'a Lab,
    host: String,
    process: Process,
}

impl<'a> Web<'a> {
    /// Starts it and waits until it answers.
    pub fn start(lab: &'a Lab, host: &str) -> Self {
        Self::launch(lab, host, "")
    }

    /// The same, by IPv6 as well.
    pub fn start_six(lab: &'a Lab, host: &str) -> Self {
        Self::launch(lab, host, "listen [::]:80;")
    }

    /// The same, over TLS on port 443 as well, with a certificate for one name; and the certificate, PEM.
    pub fn start_secure(lab: &'a Lab, host: &str, name: &str) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a name");
        let files = [made.cert.pem(), made.signing_key.serialize_pem()];
        let web = Self::start_showing(lab, host, &files);
        let [certificate, _] = files;
        (web, certificate)
    }

    /// The same, with this certificate and its key, PEM.
    pub fn start_showing(lab: &'a Lab, host: &str, [certificate, key]: &[String; 2]) -> Self {
        let folder = lab.folder(&format!("{host}-web"));
        for (file, text) in [("cert.pem", certificate), ("key.pem", key)] {
            std::fs::write(folder.join(file), text).expect("scratch folder takes files");
        }
        let at = folder.display();
        let secure = format!(
            "listen 443 ssl; ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem;"
        );
        Self::launch(lab, host, &secure)
    }

    fn launch(lab: &'a Lab, host: &str, listens: &str) -> Self {
        let folder = lab.folder(&format!("{host}-web"));
        let at = folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
            .join(" ");
        // One process: with a master, killing it would leave workers that still answer.
        let text = format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr;\n\
             events {{}}\n\
             http {{ access_log off; {temporary}\n\
             server {{ listen 80; {listens} default_type text/plain;\n\
             location = /healthz {{ return 200 \"ready {host}\\n\"; }}\n\
             location = /places.json {{ alias {at}/places.json; }}\n\
             location = /version {{ return 200 \"1\\n\"; }} }} }}\n"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, text).expect("scratch folder takes files");
        let mut command = lab.fabric.command(host, "nginx");
        command.arg("-e").arg("stderr").arg("-p").arg(&folder).arg("-c").arg(file);
        let process = Process::start(lab, &format!("{host}-web"), &mut command);
        let web = Self { lab, host: host.to_owned(), process };
        eventually(START, &format!("nginx on {host} answers"), || web.ask());
        web
    }

    /// What it answers to the router, which nothing is cut from.
    pub fn ask(&self) -> Result<String, String> {
        let text = fetch(&self.host, 80, "/healthz").map_err(|error| error.to_string())?;
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
            _ => Err(format!("answered {text:?}")),
        }
    }

    /// Serves this as `/places.json`, which is not there before.
    pub fn tell(&self, places: &str) {
        let folder = self.lab.folder(&format!("{}-web", self.host));
        std::fs::write(folder.join("places.json"), places).expect("scratch folder takes files");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Web::kill`].
    pub fn restart(&mut self) {
        *self = Self::start(self.lab, &self.host);
    }
}

/// Asks a host's web server with HTTP/1.0 and returns all that it says.
pub fn fetch(host: &str, port: u16, path: &str) -> std::io::Result<String> {
    let limit = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&(address(host), port).into(), limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
