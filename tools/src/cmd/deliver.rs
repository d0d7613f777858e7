//! `redoubt deliver --to ADDRESS FILE|-`

use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use hyper::Method;

use super::Common;
use crate::admin::client::encode;
use crate::admin::wire::Delivered;
use crate::exit::Exit;
use crate::output;

/// Delivers one message; prints what came of each recipient.
#[derive(Debug, Args)]
pub struct Deliver {
    /// A recipient; may be given several times.
    #[arg(long, required = true)]
    to: Vec<String>,
    /// The envelope's sender.
    #[arg(long, default_value = "")]
    from: String,
    /// The message, `-` for standard input.
    file: PathBuf,
}

/// # Errors
/// When the file cannot be read or the server did not take it.
pub async fn run(common: &Common, verb: Deliver) -> anyhow::Result<Exit> {
    let message = read(&verb.file)?;
    let to = encode(&verb.to.join("\n"));
    let path = format!("/v1/deliver?from={}&to={to}", encode(&verb.from));
    let answers: Vec<Delivered> =
        common.client()?.call(Method::POST, &path, message.into()).await?;
    let delivered = answers.iter().filter(|answer| answer.delivered).count();
    let exit = match delivered {
        0 => Exit::Failed,
        some if some < answers.len() => Exit::Partly,
        _ => Exit::Done,
    };
    print(common, answers)?;
    Ok(exit)
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut message = Vec::new();
        std::io::stdin().lock().read_to_end(&mut message)?;
        return Ok(message);
    }
    std::fs::read(file).with_context(|| file.display().to_string())
}

fn print(common: &Common, answers: Vec<Delivered>) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines(answers);
    }
    for answer in answers {
        match (answer.email_id, answer.error) {
            (Some(email), _) => println!("{}: delivered as {email}", answer.recipient),
            (None, error) => println!("{}: {}", answer.recipient, error.unwrap_or_default()),
        }
    }
    Ok(())
}
