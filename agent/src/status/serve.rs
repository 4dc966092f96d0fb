//! Connections, each with its limits: how many, how long a request may take to come and an answer to be taken.

use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::{FAREWELL, StartError, folder};

/// How many connections each listener serves at once; more are closed as they come.
const CONNECTIONS: usize = 64;
/// The most bytes of a request's head; hyper's least.
const HEAD_BYTES: usize = 16 * 1024;
/// How long to wait when accepting fails, for want of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the head of a request, counted from the end of the request before.
    pub head: Duration,
    /// For taking anything at all of an answer.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), stall: Duration::from_secs(10) }
    }
}

/// Where connections come from.
pub enum Listener {
    /// For reading.
    Tcp(TcpListener),
    /// For reading and for commands; its file is removed in the end.
    Unix(UnixListener, PathBuf),
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Anybody on this machine.
    Tcp,
    /// A user, as the socket tells.
    User(String),
}

/// Makes the socket, readable and writable for owner and group, in the place of one that nobody listens on any more.
pub async fn bind_socket(path: &Path) -> Result<UnixListener, StartError> {
    let failed = |error| StartError::Socket(path.to_owned(), error);
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(failed(io::Error::other("something that is no socket is there")));
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(StartError::SocketTaken(path.to_owned()));
        }
        Ok(_) | Err(_) => {}
    }
    // Renamed once its mode is set: nobody can connect before.
    let fresh = folder(path).join(format!(".quorate-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o660))
        .and_then(|()| std::fs::rename(&fresh, path))
        .inspect_err(|_| drop(std::fs::remove_file(&fresh)))
        .map_err(failed)?;
    Ok(listener)
}

/// Serves until `stopped`.
pub async fn serve(
    listener: Listener,
    router: Router,
    patience: Patience,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        let (stream, caller) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept a status connection: {error}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (router, stopped) = (router.clone(), stopped.clone());
        connections.spawn(async move {
            connection(stream, caller, router, patience, stopped).await;
            drop(place);
        });
    }
    if let Listener::Unix(_, path) = &listener {
        let _ = std::fs::remove_file(path);
    }
    drop(listener);
    let ending = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, ending).await;
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn accept(listener: &Listener) -> io::Result<(Box<dyn Stream>, Caller)> {
    match listener {
        Listener::Tcp(tcp) => {
            let (stream, _) = tcp.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream), Caller::Tcp))
        }
        Listener::Unix(unix, _) => {
            let (stream, _) = unix.accept().await?;
            let caller = Caller::User(user(stream.peer_cred()?.uid()));
            Ok((Box::new(stream), caller))
        }
    }
}

/// What people call this user, from `/etc/passwd`; users of a directory service keep their number.
fn user(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    known.unwrap_or_else(|| format!("uid {uid}"))
}

async fn connection(
    stream: Box<dyn Stream>,
    caller: Caller,
    router: Router,
    patience: Patience,
    mut stopped: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(caller.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(
            TokioIo::new(Impatient { stream, limit: patience.stall, stall: None }),
            service,
        );
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = async { drop(stopped.wait_for(|stop| *stop).await) } => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(FAREWELL, connection).await;
        }
    }
}

/// A stream that breaks when its other end takes nothing for so long.
struct Impatient {
    stream: Box<dyn Stream>,
    limit: Duration,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stall = None;
            return progress;
        }
        let limit = self.limit;
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match stall.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_stalled(cx, progress)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
