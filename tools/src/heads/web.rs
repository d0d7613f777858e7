//! The sinks that are reached by HTTP: a webhook, and a time stamping authority (RFC 3161
//! section 3.4). Certificates are judged by the machine's own list of authorities.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};

use super::stamp::{MAX_ANSWER, Request};

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most characters of an answer that are told.
const TOLD: usize = 200;

/// A client that follows nobody elsewhere.
///
/// # Errors
/// TLS cannot be set up.
pub fn client() -> Result<Client, String> {
    // Taken already by whoever came first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE);
    builder.build().map_err(|error| text(&error))
}

/// Posts a head as it is; `Ok` when the other side says 2xx.
///
/// # Errors
/// What it says instead, or why it is not reached.
pub async fn post(client: &Client, url: &str, head: &str) -> Result<(), String> {
    let request = client.post(url).header(CONTENT_TYPE, "text/plain; charset=utf-8");
    let answer = request.body(head.to_owned()).send().await.map_err(|error| text(&error))?;
    let status = answer.status();
    match status.is_success() {
        true => Ok(()),
        false => {
            let said = octets(answer, MAX_ANSWER).await.unwrap_or_default();
            let said: String = String::from_utf8_lossy(&said).chars().take(TOLD).collect();
            Err(format!("{url} answered {status}: {}", said.trim()))
        }
    }
}

/// Has a head stamped; the answer as it came, once it is known to be to this request.
///
/// # Errors
/// What came instead, or why nothing did.
pub async fn stamp(client: &Client, url: &str, head: &str) -> Result<Vec<u8>, String> {
    let asked = Request::over(head.as_bytes(), rand::random());
    let request = client.post(url).header(CONTENT_TYPE, "application/timestamp-query");
    let answer = request.body(asked.der()).send().await.map_err(|error| text(&error))?;
    if !answer.status().is_success() {
        return Err(format!("{url} answered {}", answer.status()));
    }
    let answer = octets(answer, MAX_ANSWER).await?;
    asked.answered_by(&answer).map_err(|error| format!("{url}: {error}"))?;
    Ok(answer)
}

async fn octets(mut answer: Response, most: usize) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| text(&error))? {
        if octets.len() + piece.len() > most {
            return Err(format!("the answer has more than {most} octets"));
        }
        octets.extend_from_slice(&piece);
    }
    Ok(octets)
}

/// An error with what caused it.
fn text(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said += &format!(": {error}");
        cause = error.source();
    }
    said
}
