//! Promotion policies, their preview, and promotion by hand.

use serde::{Deserialize, Serialize};

use crate::access::Level;
use crate::lifecycle;
use crate::limits;
use crate::oci::{RepoName, Tag};
use crate::policy::chain::{Edge, loops};
use crate::policy::rule::RawRule;
use crate::policy::template::TemplateError;
use crate::policy::{self, Kind, Outcome, PolicyId, PromotionPolicy, Reason, Rules, Terms, Trigger, zone};
use crate::reactor::view::facts;
use crate::registry::policy::{Saving, Shown};
use crate::registry::{Caller, Registry, RegistryError, tag::may_change};
use crate::store::record::{Policy, PolicyBody};
use crate::store::{policy as policies, repo};

use super::answer::{Answer, moment};
use super::call::{Call, RuleForm, rules};
use super::decisions::{RuleShape, rule};
use super::error::ApiError;
use super::form::Form;
use super::policy::{StatusShape, find, from_either_end};
use super::route::GivenId;
use super::tag::{BY_HAND, PromotionShape};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PromotionForm {
    enabled: Option<bool>,
    rules: Option<Vec<Form<RuleForm>>>,
    tag_template: Option<String>,
    target_repository: Option<String>,
    time_zone: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyShape {
    id: String,
    enabled: bool,
    rules: Vec<RawRule>,
    source_repository: String,
    target_repository: String,
    tag_template: String,
    last_promoted_at: String,
    time_zone: String,
    version: u32,
    last_status: StatusShape,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ByHandForm {
    target_repository: Option<String>,
    target_tag: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ByHandShape {
    #[serde(flatten)]
    promotion: PromotionShape,
    target_repository: String,
    target_tag: String,
    digest: String,
}

#[derive(Debug, Serialize)]
struct PreviewShape {
    decisions: Vec<PreviewedShape>,
}

/// What a policy would do about one tag.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PreviewedShape {
    tag: String,
    digest: String,
    outcome: Outcome,
    target_tag: Option<String>,
    reason: String,
    rule: Option<RuleShape>,
}

/// A policy's texts, checked.
struct Draft {
    enabled: bool,
    rules: Vec<RawRule>,
    tag_template: String,
    time_zone: String,
    target: RepoName,
}

/// `GET …/promotionPolicies?source=`
pub(super) fn list(call: Call<'_>, repository: &RepoName) -> Result<Answer, ApiError> {
    let shown = if call.flag("source", true)? {
        call.registry().policies(call.caller, repository)?
    } else {
        call.registry().policies_into(call.caller, repository)?
    };
    let shapes: Vec<PolicyShape> = shown.iter().filter_map(|shown| shape(shown, Vec::new())).collect();
    Ok(Answer::ok(&shapes))
}

/// `POST …/promotionPolicies?initialEvaluation=`
pub(super) async fn create(call: Call<'_>, repository: RepoName) -> Result<Answer, ApiError> {
    let draft = Draft::read(call.form()?, None)?;
    let saved = save(call, None, repository, draft).await?;
    let (shown, warnings) = saved.ok_or(ApiError::Overtaken)?;
    answer(&shown, warnings, Answer::created)
}

/// `GET …/promotionPolicies/{id}`
pub(super) fn get(call: Call<'_>, repository: &RepoName, id: GivenId) -> Result<Answer, ApiError> {
    answer(&from_either_end(call, repository, id, Level::ReadOnly)?, Vec::new(), Answer::ok)
}

/// `PUT …/promotionPolicies/{id}?initialEvaluation=`
pub(super) async fn update(call: Call<'_>, mut before: Shown) -> Result<Answer, ApiError> {
    for _ in 0..limits::POLICY_SAVE_TRIES {
        let (id, repository) = (before.policy.id, before.repository.clone());
        let draft = Draft::read(call.form()?, Some(&before.policy))?;
        if let Some((shown, warnings)) = save(call, Some(before.policy), repository.clone(), draft).await? {
            return answer(&shown, warnings, Answer::ok);
        }
        before = find(call, Kind::Promotion, &repository, Some(id))?;
    }
    Err(ApiError::Overtaken)
}

/// `POST …/promotionPolicies/test`: what the policy would do about the tags
/// that are there, and nothing is saved.
pub(super) async fn test(call: Call<'_>, repository: RepoName) -> Result<Answer, ApiError> {
    let draft = Draft::read(call.form()?, None)?;
    let mut page = call.paging()?;
    if call.query.filled("pageSize").or_else(|| call.query.filled("limit")).is_none() {
        page.size = limits::PREVIEW_TAGS;
    }
    let (registry, caller) = (call.registry().clone(), call.caller.clone());
    let (decisions, next) = lifecycle::blocking(move || {
        let (found, next) = registry.tag_values(&caller, &repository, page.start.as_deref(), page.size)?;
        let read = registry.store().snapshot()?;
        let target = caller.require(&read, &draft.target, Level::Admin)??;
        let policy = [draft.policy(&registry)?];
        let mut decisions = Vec::new();
        for (tag, value) in found {
            let plan = policy::plan(&policy, Trigger::Preview, &facts(&repository, &tag, &value));
            for mut decision in plan.decisions {
                if let Some(target_tag) = &decision.tag
                    && let Err(refusal) = may_change(&read, (&draft.target, &target), target_tag, Some(&value.digest))?
                {
                    decision = decision.blocked(Reason::target_refused(refusal));
                }
                decisions.push(PreviewedShape {
                    tag: tag.to_string(),
                    digest: value.digest.to_string(),
                    outcome: decision.outcome,
                    rule: rule(&decision.reason),
                    reason: decision.reason.to_string(),
                    target_tag: decision.tag.map(|tag| tag.to_string()),
                });
            }
        }
        Ok::<_, ApiError>((decisions, next))
    })
    .await?;
    Ok(Answer::ok(&PreviewShape { decisions }).next(next))
}

/// `POST …/tags/{tag}/promotion`
pub(super) async fn by_hand(call: Call<'_>, source: RepoName, tag: Tag) -> Result<Answer, ApiError> {
    let form: ByHandForm = call.form()?;
    let target = form.target_repository.filter(|name| !name.is_empty());
    let target = target.ok_or(ApiError::Missing("targetRepository"))?;
    let target: RepoName = target
        .parse()
        .map_err(|error| ApiError::Parameter { name: "targetRepository", why: format!("{target:?}: {error}") })?;
    let target_tag = match form.target_tag.filter(|tag| !tag.is_empty()) {
        Some(text) => text.parse()?,
        None => tag.clone(),
    };
    let digest = call.registry().promote(call.caller, (&source, &tag), (&target, &target_tag)).await?;
    Ok(Answer::created(&ByHandShape {
        promotion: PromotionShape {
            promotion_policy_id: BY_HAND.to_owned(),
            string: String::new(),
            source_repository: source.to_string(),
            source_tag: tag.to_string(),
        },
        target_repository: target.to_string(),
        target_tag: target_tag.to_string(),
        digest: digest.to_string(),
    }))
}

/// Saves a policy, over the one it was made from; `None` when that is another
/// one by now.
async fn save(
    call: Call<'_>,
    before: Option<Policy>,
    repository: RepoName,
    draft: Draft,
) -> Result<Option<(Shown, Vec<String>)>, ApiError> {
    let saving = Saving {
        id: before.as_ref().map(|before| before.id),
        repository: repository.clone(),
        enabled: draft.enabled,
        rules: draft.rules,
        tag_template: draft.tag_template,
        time_zone: draft.time_zone,
        body: PolicyBody::Promotion { target: draft.target.to_string() },
        evaluate: call.flag("initialEvaluation", true)?,
        // In so many words, not by DTR's default, which every change has.
        again: call.choice("initialEvaluation")? == Some(true),
    };
    let saved = match before {
        Some(before) => call.registry().save_policy_over(call.caller, saving, before).await,
        None => call.registry().save_policy(call.caller, saving).await.map(Some),
    };
    let shown = match saved {
        Err(RegistryError::PolicyUnknown { repository }) => {
            return Err(ApiError::NoSuchPolicy { kind: Kind::Promotion, repository });
        }
        saved => saved?,
    };
    let Some(shown) = shown else { return Ok(None) };
    let (registry, caller, policy) = (call.registry().clone(), call.caller.clone(), shown.policy.clone());
    let warnings = lifecycle::blocking(move || warnings(&registry, &caller, repository, &policy)).await?;
    Ok(Some((shown, warnings)))
}

/// The loops that a saved policy closes, in words. Repositories that the
/// caller may not see are not named.
fn warnings(
    registry: &Registry,
    caller: &Caller,
    source: RepoName,
    saved: &Policy,
) -> Result<Vec<String>, RegistryError> {
    let read = registry.store().snapshot()?;
    let Ok(Some(policy::Policy::Promotion(saved))) = saved.to_plan() else { return Ok(Vec::new()) };
    let mut existing = Vec::new();
    for policy in policies::all(&read)? {
        if let Ok(Some(policy::Policy::Promotion(promotion))) = policy.to_plan()
            && let Some(source) = repo::name_of(&read, policy.repository)?
        {
            existing.push(Edge::new(source, &promotion));
        }
    }
    let mut warnings = Vec::new();
    for found in loops(&existing, &Edge::new(source, &saved)) {
        let mut seen = true;
        for step in &found.steps {
            seen &= caller.require(&read, &step.source, Level::ReadOnly)?.is_ok();
        }
        let way = if seen { found.to_string() } else { "through repositories that you may not see".to_owned() };
        let end = if found.keeps_tag() {
            "an image that goes round ends where it began"
        } else {
            "each round under another tag; an image passes each policy once"
        };
        warnings.push(format!("this policy closes a loop: {way}; {end}"));
    }
    Ok(warnings)
}

impl Draft {
    /// A request's texts over what stood before.
    fn read(form: PromotionForm, before: Option<&Policy>) -> Result<Self, ApiError> {
        let wrong = |why: String| ApiError::Policy { kind: Kind::Promotion, why };
        let has_rules = form.rules.is_some() || before.is_some();
        let rules = match (form.rules, before) {
            (Some(given), _) => rules(given).map_err(wrong)?,
            (None, Some(before)) => before.rules.clone(),
            (None, None) => Vec::new(),
        };
        let rules = Rules::parse(rules).map_err(|error| wrong(error.to_string()))?.to_raw();
        let kept = |given: Option<String>, before: Option<&String>, default: &str| {
            given.filter(|text| !text.is_empty()).or_else(|| before.cloned()).unwrap_or_else(|| default.to_owned())
        };
        let tag_template = kept(form.tag_template, before.map(|before| &before.tag_template), "%n");
        tag_template
            .parse::<policy::Template>()
            .map_err(|error: TemplateError| wrong(format!("tagTemplate: {error}")))?;
        let time_zone = kept(form.time_zone, before.map(|before| &before.time_zone), "UTC");
        zone::parse(&time_zone).map_err(|error| wrong(format!("timeZone: {error}")))?;
        let target = match before.map(|before| &before.body) {
            Some(PolicyBody::Promotion { target }) => Some(target),
            Some(PolicyBody::Push { .. } | PolicyBody::Pull { .. }) | None => None,
        };
        let target = kept(form.target_repository, target, "");
        if target.is_empty() {
            return Err(wrong("targetRepository: missing; give the repository to promote to".to_owned()));
        }
        let target = target.parse().map_err(|error| wrong(format!("targetRepository: {target:?}: {error}")))?;
        let enabled = form.enabled.or(before.map(|before| before.enabled)).unwrap_or(true);
        // DTR requires it: a forgotten key is not the wish to promote all.
        if !has_rules {
            return Err(wrong("`rules` is missing; [] takes every tag".to_owned()));
        }
        Ok(Self { enabled, rules, tag_template, time_zone, target })
    }

    /// The policy that it would be.
    fn policy(&self, registry: &Registry) -> Result<policy::Policy, ApiError> {
        let wrong = |why: String| ApiError::Policy { kind: Kind::Promotion, why };
        Ok(policy::Policy::Promotion(PromotionPolicy {
            terms: Terms {
                id: PolicyId::new(registry.store().chance().id()),
                version: 1,
                owner: String::new(),
                enabled: true,
                rules: Rules::parse(self.rules.clone()).map_err(|error| wrong(error.to_string()))?,
                template: self.tag_template.parse().map_err(|error: TemplateError| wrong(error.to_string()))?,
                zone: zone::parse(&self.time_zone).map_err(|error| wrong(error.to_string()))?,
                applies_from: 0,
            },
            target: self.target.clone(),
        }))
    }
}

fn answer(shown: &Shown, warnings: Vec<String>, wrap: impl FnOnce(&PolicyShape) -> Answer) -> Result<Answer, ApiError> {
    let no_such = || ApiError::NoSuchPolicy { kind: Kind::Promotion, repository: shown.repository.clone() };
    let shape = shape(shown, warnings).ok_or_else(no_such)?;
    Ok(wrap(&shape).warn(&shape.warnings))
}

/// The shape of a promotion policy; `None` for other kinds.
fn shape(shown: &Shown, warnings: Vec<String>) -> Option<PolicyShape> {
    let PolicyBody::Promotion { target } = &shown.policy.body else { return None };
    Some(PolicyShape {
        id: shown.policy.id.to_string(),
        enabled: shown.policy.enabled,
        rules: shown.policy.rules.clone(),
        source_repository: shown.repository.to_string(),
        target_repository: target.clone(),
        tag_template: shown.policy.tag_template.clone(),
        last_promoted_at: moment(shown.status.last_moved_at),
        time_zone: shown.policy.time_zone.clone(),
        version: shown.policy.version,
        last_status: (&shown.status).into(),
        warnings,
    })
}
