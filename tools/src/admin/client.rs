//! The verbs' side of the admin socket.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
pub use hyper::Method;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::AUTHORIZATION;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::wire::ErrorBody;
use crate::exit::{Exit, Failure};

/// The most octets of one answer.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// Speaks to the running server of one data directory.
#[derive(Clone)]
pub struct Client {
    socket: PathBuf,
    token: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Client {
    /// For the server behind this Unix socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), token: None }
    }

    /// Speaks as whoever a personal token is of.
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }

    /// `GET`.
    ///
    /// # Errors
    /// [`Failure`] with the exit code that fits.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// `GET` of what is text.
    ///
    /// # Errors
    /// [`Failure`] with the exit code that fits.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.raw(Method::GET, path, Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// A call with a JSON body and a JSON answer.
    ///
    /// # Errors
    /// [`Failure`] with the exit code that fits.
    pub async fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> anyhow::Result<T> {
        self.call(method, path, serde_json::to_vec(body)?.into()).await
    }

    /// A call with any body and a JSON answer; an empty answer reads as `null`.
    ///
    /// # Errors
    /// [`Failure`] with the exit code that fits.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<T> {
        let answer = self.raw(method, path, body).await?;
        let answer = if answer.is_empty() { b"null".as_slice() } else { &answer };
        serde_json::from_slice(answer).with_context(|| format!("the answer to {path}"))
    }

    /// `GET` of octets, as they come.
    ///
    /// # Errors
    /// [`Failure`] with the exit code that fits; also when they break off, or cannot be written.
    pub async fn stream(&self, path: &str, mut to: impl Write) -> anyhow::Result<()> {
        let response = self.request(Method::GET, path, Bytes::new()).await?;
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            let answer = http_body_util::Limited::new(body, MAX_ANSWER).collect().await;
            let answer = answer.map_err(|e| anyhow::anyhow!("{e}"))?.to_bytes();
            return Err(failure(status, &answer).into());
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Failure::new(Exit::Failed, format!("the message broke off: {error}"))
            })?;
            if let Ok(octets) = frame.into_data() {
                to.write_all(&octets)?;
            }
        }
        Ok(to.flush()?)
    }

    async fn raw(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let response = self.request(method, path, body).await?;
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
        let answer = body.collect().await.map_err(|e| anyhow::anyhow!("{e}"))?.to_bytes();
        if status.is_success() { Ok(answer) } else { Err(failure(status, &answer).into()) }
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|e| not_reachable(&self.socket, &e))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder();
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let lost =
            |error| Failure::new(Exit::NotReachable, format!("the server broke off: {error}"));
        Ok(sender.send_request(request).await.map_err(lost)?)
    }
}

fn not_reachable(socket: &Path, error: &std::io::Error) -> Failure {
    let text = format!(
        "no server answers at {}: {error}; start it with `redoubt serve`, or name its data directory with --data",
        socket.display()
    );
    Failure::new(Exit::NotReachable, text)
}

fn failure(status: StatusCode, answer: &[u8]) -> Failure {
    let text = serde_json::from_slice::<ErrorBody>(answer)
        .map_or_else(|_| String::from_utf8_lossy(answer).into_owned(), |body| body.error);
    let exit = match status {
        StatusCode::BAD_REQUEST => Exit::Usage,
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Exit::Refused,
        StatusCode::SERVICE_UNAVAILABLE => Exit::NotReachable,
        _ => Exit::Failed,
    };
    Failure::new(exit, text)
}

/// Text as a part of a URL's path or query (RFC 3986 section 2.1).
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_is_percent_encoded() {
        assert_eq!(super::encode("a b/ü@x+y"), "a%20b%2F%C3%BC%40x%2By");
    }
}
