//! `why`: what the policies decided about a tag, and on what grounds.

use clap::Args;
use serde_json::Value;

use super::error::CliError;
use super::image::Image;
use super::rule::one_shown;
use super::run::Session;
use super::terminal::{cell, clean, rows};

/// `why`'s words.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// The image, such as dev/website:1.4-stable
    #[arg(value_name = "REPOSITORY:TAG")]
    pub image: Image,
}

/// Asks and shows.
///
/// # Errors
/// [`CliError`].
pub async fn run(wanted: &WhyArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let answer = session.client.get(&format!("{}/decisions", wanted.image.path())).await?;
    if session.json {
        return session.terminal.json(&answer);
    }
    session.terminal.line(&format!("{}  {}", wanted.image, cell(&answer, "/digest")))?;
    if let Some(origin) = answer.pointer("/origin").and_then(Value::as_object) {
        let parts: Vec<String> = origin
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| format!("{} {}", clean(name), cell(value, "")))
            .collect();
        session.terminal.line(&format!("came from: {}", parts.join(", ")))?;
    }
    let decisions = rows(&answer, "/decisions");
    if decisions.is_empty() {
        return session.terminal.line("no policy has decided about it");
    }
    let shown = decisions.iter().map(row).collect();
    session.terminal.table(&["POLICY", "KIND", "OUTCOME", "RULE", "SAW", "TARGET", "REASON"], shown)
}

fn row(decision: &Value) -> Vec<String> {
    let rule = decision.pointer("/rule").filter(|rule| !rule.is_null());
    let target = [cell(decision, "/targetRepository"), cell(decision, "/targetTag")];
    vec![
        format!("{} v{}", cell(decision, "/policyID"), cell(decision, "/version")),
        cell(decision, "/kind"),
        cell(decision, "/outcome"),
        rule.map(one_shown).unwrap_or_default(),
        rule.map(|rule| cell(rule, "/saw")).unwrap_or_default(),
        target.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(":"),
        cell(decision, "/reason"),
    ]
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use serde_json::json;

    #[tokio::test]
    async fn decisions_are_shown_with_rule_value_and_reason() {
        let path = "GET /api/v0/repositories/dev/web%2Fsite/tags/1.4/decisions";
        let answer = json!({"repository": "dev/web/site", "tag": "1.4", "digest": "sha256:aa",
        "origin": {"kind": "push", "by": "alice", "policyID": null},
        "decisions": [
            {"policyID": "p1", "kind": "promotion", "version": 2, "outcome": "deny", "reason": "the rule does not hold",
             "rule": {"index": 0, "field": "tag", "operator": "ew", "values": ["-stable"], "saw": "1.4"},
             "targetRepository": "qa/site", "targetTag": null},
            {"policyID": "p2", "kind": "promotion", "version": 1, "outcome": "allow", "reason": "all rules hold",
             "rule": null, "targetRepository": "qa/all", "targetTag": "1.4"},
        ]});
        let empty = json!({"digest": "sha256:aa", "decisions": [], "origin": null});
        let fake = Fake::new(vec![reply(path, 200, answer), reply(path, 200, empty)]);
        let out = fake.run(&["why", "dev/web/site:1.4"], "").await.done();
        assert_eq!(
            out,
            "dev/web/site:1.4  sha256:aa\n\
             came from: by alice, kind push\n\
             POLICY  KIND       OUTCOME  RULE            SAW  TARGET      REASON\n\
             p1 v2   promotion  deny     tag ew -stable  1.4  qa/site     the rule does not hold\n\
             p2 v1   promotion  allow                         qa/all:1.4  all rules hold\n"
        );
        let out = fake.run(&["why", "dev/web/site:1.4"], "").await.done();
        assert_eq!(out, "dev/web/site:1.4  sha256:aa\nno policy has decided about it\n");
    }
}
