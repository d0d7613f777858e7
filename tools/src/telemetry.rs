//! Structured logs, as text or JSON, to standard error.

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// Changes the level of a running server.
#[derive(Debug, Clone)]
pub struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// From now on.
    ///
    /// # Errors
    /// When the directives do not read; the level stays.
    pub fn set(&self, directives: &str) -> anyhow::Result<()> {
        Ok(self.0.reload(filter(directives)?)?)
    }
}

fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    // openraft tells of each try at a peer that is gone; the links tell once.
    EnvFilter::builder().parse(format!("openraft=error,{directives}"))
}

/// Starts logging for the life of the process.
///
/// # Errors
/// When the level does not read, or logging was started before.
pub fn start(log: &Log) -> anyhow::Result<Level> {
    let filter = filter(&log.level).map_err(|error| {
        anyhow::anyhow!("log.level: {error}; write error, warn, info, debug or trace")
    })?;
    let (filter, handle) = reload::Layer::new(filter);
    let layer = fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match log.format {
        LogFormat::Text => registry.with(layer.with_ansi(false)).try_init()?,
        LogFormat::Json => registry.with(layer.json()).try_init()?,
    }
    Ok(Level(handle))
}

/// Tells systemd that a long start goes on, and how far it is.
pub fn still_starting(text: &str) {
    use sd_notify::NotifyState::{ExtendTimeoutUsec, Status};
    // Ten questions a token: each buys time for many more.
    let _ = sd_notify::notify(&[Status(text), ExtendTimeoutUsec(30_000_000)]);
}
