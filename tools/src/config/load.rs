//! File, then environment, then the command line: each above the one before.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use redoubt_snapshot::archive::Feeder;

use super::Config;

/// Why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, std::io::Error),
    /// It is not TOML.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Syntax(PathBuf, toml::de::Error),
    /// A key that does not exist.
    #[error("unknown key {key}{}", hint(.suggestion))]
    Unknown {
        /// The key with its table.
        key: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// A value of the wrong kind or out of its range.
    #[error("{0}")]
    Value(String),
}

fn hint(key: &Option<String>) -> String {
    key.as_ref().map_or_else(
        || "; docs/configuration.md lists them all".into(),
        |key| format!(": did you mean {key}?"),
    )
}

/// Reads the file (if one is named), then what `environment` overrides.
///
/// # Errors
/// Names the key or the place in the file, and what to write instead.
pub fn load(
    file: Option<&Path>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let known =
        Table::try_from(Config::default()).map_err(|e| ConfigError::Value(e.to_string()))?;
    let mut table = match file {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    refuse_unknown(&known, &table, "")?;
    override_from(&known, &mut table, "", &environment)?;
    let config: Config =
        Value::Table(table).try_into().map_err(|e| ConfigError::Value(e.to_string()))?;
    validate(&config)?;
    Ok(config)
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.into(), e))?;
    text.parse().map_err(|e| ConfigError::Syntax(path.into(), e))
}

fn refuse_unknown(known: &Table, given: &Table, prefix: &str) -> Result<(), ConfigError> {
    for (key, value) in given {
        match (known.get(key), value) {
            (None, _) => {
                let suggestion = nearest(known, key).map(|near| format!("{prefix}{near}"));
                return Err(ConfigError::Unknown { key: format!("{prefix}{key}"), suggestion });
            }
            (Some(Value::Table(known)), Value::Table(given)) => {
                refuse_unknown(known, given, &format!("{prefix}{key}."))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn nearest<'a>(known: &'a Table, key: &str) -> Option<&'a str> {
    known
        .keys()
        .map(|candidate| (strsim::jaro_winkler(candidate, key), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.as_str())
}

/// `REDOUBT_LISTEN_IMAP` is `listen.imap`. The value is read as what the default is.
fn override_from(
    known: &Table,
    table: &mut Table,
    prefix: &str,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<(), ConfigError> {
    for (key, default) in known {
        let path = format!("{prefix}{key}");
        if let Value::Table(known) = default {
            let entry = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(table) = entry {
                override_from(known, table, &format!("{path}."), environment)?;
            }
        } else if let Some(text) = environment(&variable(&path)) {
            table.insert(key.clone(), value_like(default, &path, &text)?);
        }
    }
    Ok(())
}

fn variable(path: &str) -> String {
    format!("REDOUBT_{}", path.replace('.', "_").to_uppercase())
}

fn value_like(default: &Value, path: &str, text: &str) -> Result<Value, ConfigError> {
    let wrong = |what| {
        ConfigError::Value(format!("{}: {text:?} is not {what} (for {path})", variable(path)))
    };
    match default {
        Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| wrong("a number")),
        Value::Boolean(_) => text.parse().map(Value::Boolean).map_err(|_| wrong("true or false")),
        Value::Array(_) => Ok(list(text)),
        _ if text.contains(',') && path.starts_with("listen.") => Ok(list(text)),
        _ => Ok(Value::String(text.into())),
    }
}

fn list(text: &str) -> Value {
    Value::Array(text.split(',').map(|item| Value::String(item.trim().into())).collect())
}

fn validate(config: &Config) -> Result<(), ConfigError> {
    let listen = &config.listen;
    let served = [
        ("lmtp", &listen.lmtp),
        ("imap", &listen.imap),
        ("imaps", &listen.imaps),
        ("admin_https", &listen.admin_https),
        ("socketmap", &listen.socketmap),
        ("peer", &listen.peer),
        ("milter", &listen.milter),
    ];
    for (key, addresses) in served {
        addresses.parse().map_err(|e| ConfigError::Value(format!("listen.{key}: {e}")))?;
    }
    let not_served = [("pop3", &listen.pop3), ("pop3s", &listen.pop3s), ("https", &listen.https)];
    for (key, addresses) in not_served {
        let wished =
            addresses.parse().map_err(|e| ConfigError::Value(format!("listen.{key}: {e}")))?;
        if !wished.is_empty() {
            let text = format!("listen.{key}: this version does not serve it; write \"off\"");
            return Err(ConfigError::Value(text));
        }
    }
    let limits = &config.limits;
    let waits = [
        ("leader_wait_seconds", limits.leader_wait_seconds, "commands would fail at each election"),
        ("cut_off_seconds", limits.cut_off_seconds, "sessions would be closed at each election"),
    ];
    if let Some((key, _, why)) = waits.iter().find(|(_, seconds, _)| *seconds == 0) {
        return Err(ConfigError::Value(format!(
            "limits.{key}: 0 is no time, {why}; give at least 1"
        )));
    }
    let peer = [&config.peer.ca, &config.peer.certificate, &config.peer.key];
    if peer.iter().any(|path| path.is_empty()) && peer.iter().any(|path| !path.is_empty()) {
        let text = "peer.ca, peer.certificate and peer.key go together: give all or none";
        return Err(ConfigError::Value(text.into()));
    }
    if config.tls.certificate.is_empty() != config.tls.key.is_empty() {
        let text = "tls.certificate and tls.key go together: give both or neither";
        return Err(ConfigError::Value(text.into()));
    }
    let backup = &config.backup;
    if backup.ack_after_archive && backup.feeder != Feeder::Any {
        let text = "backup.ack_after_archive is for a node that feeds the repository itself: set \
                    backup.feeder = \"any\"";
        return Err(ConfigError::Value(text.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{Addresses, Plaintext};

    fn from(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        load(Some(file.path()), |name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into())
        })
    }

    #[test]
    fn nothing_given_is_the_default() {
        assert_eq!(load(None, |_| None).unwrap(), Config::default());
    }

    #[test]
    fn the_environment_stands_above_the_file() {
        let file = "[listen]\nimap = \"127.0.0.1:1\"\n[limits]\nconnections = 5\n";
        let environment =
            [("REDOUBT_LISTEN_IMAP", "127.0.0.1:2,[::1]:2"), ("REDOUBT_LIMITS_CONNECTIONS", "9")];
        let config = from(file, &environment).unwrap();
        let expected = vec!["127.0.0.1:2".to_string(), "[::1]:2".to_string()];
        assert_eq!(config.listen.imap, Addresses::Many(expected));
        assert_eq!(config.limits.connections, 9);
        let config = from("auth.plaintext = \"never\"", &[]).unwrap();
        assert_eq!(config.auth.plaintext, Plaintext::Never);
    }

    #[test]
    fn errors_name_the_key_and_what_to_write() {
        let cases = [
            ("[listen]\nimp = \"off\"", "listen.imap"),
            ("dta = \"x\"", "did you mean data?"),
            ("[listen]\nimap = \"7143\"", "\"127.0.0.1:7143\""),
            ("[listen]\npop3 = \"127.0.0.1:7110\"", "write \"off\""),
            ("[tls]\ncertificate = \"c.pem\"", "tls.key"),
            ("[peer]\nca = \"ca.pem\"", "peer.key"),
            ("[limits]\nconnections = \"many\"", "connections"),
            ("[auth]\nplaintext = \"sometimes\"", "loopback"),
            ("[limits]\nleader_wait_seconds = 0", "limits.leader_wait_seconds: 0 is no time"),
            ("[limits]\ncut_off_seconds = 0", "limits.cut_off_seconds: 0 is no time"),
            ("data = ", "line 1"),
        ];
        for (text, expected) in cases {
            let error = from(text, &[]).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = from("", &[("REDOUBT_LIMITS_CONNECTIONS", "x")]).unwrap_err().to_string();
        assert!(error.contains("REDOUBT_LIMITS_CONNECTIONS"), "{error}");
    }
}
