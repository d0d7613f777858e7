//! `redoubt status`

use super::Common;
use crate::admin::wire::StatusBody;
use crate::exit::Exit;

/// # Errors
/// When no server runs.
pub async fn run(common: &Common) -> anyhow::Result<Exit> {
    let status: StatusBody = common.client()?.get("/v1/status").await?;
    if common.json {
        println!("{}", serde_json::to_string(&status)?);
        return Ok(Exit::Done);
    }
    println!("redoubt {}: {}, for {} s", status.version, status.state, status.uptime_seconds);
    for (protocol, addresses) in &status.listen {
        let sessions = status.sessions.get(protocol).copied().unwrap_or_default();
        println!("  {protocol:<11} {} ({sessions} sessions)", addresses.join(", "));
    }
    print_facts("  ", &status.store);
    if let Some(texts) = &status.texts {
        println!("  texts of attachments");
        print_facts("    ", texts);
    }
    if let Some(index) = &status.index {
        println!("  index");
        print_facts("    ", &serde_json::to_value(index)?);
    }
    if let Some(archive) = &status.archive {
        println!("  archive");
        super::backup_table::archive(archive, "    ");
    }
    Ok(Exit::Done)
}

fn print_facts(indent: &str, facts: &serde_json::Value) {
    for (name, value) in facts.as_object().into_iter().flatten() {
        if value.is_object() {
            println!("{indent}{name}");
            print_facts(&format!("{indent}  "), value);
        } else {
            println!("{indent}{name:<24} {value}");
        }
    }
}
