//! `redoubt config check|show`

use clap::Subcommand;

use super::Common;
use crate::exit::Exit;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Say whether the configuration is right, and what is wrong
    Check,
    /// Print every key with the value in force
    Show,
}

/// # Errors
/// When the configuration is wrong.
pub fn run(common: &Common, verb: ConfigVerb) -> anyhow::Result<Exit> {
    let config = common.config()?;
    match verb {
        ConfigVerb::Check => println!("the configuration is right"),
        ConfigVerb::Show if common.json => println!("{}", serde_json::to_string(&config)?),
        ConfigVerb::Show => print!("{}", toml::to_string(&config)?),
    }
    Ok(Exit::Done)
}
