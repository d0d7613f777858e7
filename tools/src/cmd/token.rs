//! `redoubt token add|list|revoke`

use clap::Subcommand;
use hyper::Method;

use super::Common;
use super::class::seconds;
use crate::admin::client::encode;
use crate::admin::roles::wire::{TokenLine, TokenMade, TokenWish};
use crate::exit::Exit;
use crate::output;

/// What to do with personal tokens.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token for an account; its secret is printed this once
    Add {
        /// The account's address or id.
        #[arg(long)]
        account: String,
        /// A name for listings.
        #[arg(long, default_value = "")]
        name: String,
        /// For how long it is good: at most 366d, and 90d without this.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Read the account's password from standard input: by it its owner makes a token of his
        /// own. Without this it is the server's own user's making, or that of the token shown.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List tokens, never their secrets
    List,
    /// Make a token good for nothing
    Revoke {
        /// Its id, or how that begins.
        token: String,
    },
}

/// # Errors
/// Those of the server, and wrong usage.
pub async fn run(common: &Common, verb: TokenVerb) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        TokenVerb::Add { account, name, expires, password_stdin } => {
            let seconds = expires.as_deref().map(seconds).transpose()?;
            let password =
                if password_stdin { super::account::password(true, true)? } else { None };
            let wish = TokenWish { account, name, seconds, password };
            print(common, client.send(Method::POST, "/v1/tokens", &wish).await?)?;
        }
        TokenVerb::List => list(common, client.get("/v1/tokens").await?)?,
        TokenVerb::Revoke { token } => {
            let path = format!("/v1/tokens/{}", encode(&token));
            client.send::<_, ()>(Method::DELETE, &path, &()).await?;
        }
    }
    Ok(Exit::Done)
}

/// The secret alone on standard output, so that a script can keep it.
fn print(common: &Common, made: TokenMade) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines([made]);
    }
    let until = made.expires.map_or_else(String::new, |end| format!(", good until {end}"));
    eprintln!("token {}{until}; its secret is shown this once:", made.id);
    println!("{}", made.secret);
    Ok(())
}

fn list(common: &Common, lines: Vec<TokenLine>) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines(lines);
    }
    let row = |line: TokenLine| {
        let until = line.expires.unwrap_or_else(|| "-".to_owned());
        [line.id, line.account, line.name, line.made, line.by, until]
    };
    let rows: Vec<_> = lines.into_iter().map(row).collect();
    output::table(["id", "account", "name", "made", "by", "expires"], &rows)
}
