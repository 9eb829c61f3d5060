//! What a call works with: the state, who asks, the query, and the body as
//! lenient JSON.

use std::net::SocketAddr;

use http::{HeaderMap, Method};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;

use crate::http::{Query, State, condition};
use crate::jobs::Remotes;
use crate::json;
use crate::limits;
use crate::oci::Condition;
use crate::oci::condition::ConditionError;
use crate::policy::RawRule;
use crate::registry::{Caller, Registry, RegistryError};

use super::error::ApiError;
use super::form::{Form, read, read_list};

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// What every handler works with.
    pub(super) state: &'a State,
    /// Who asks.
    pub(super) caller: &'a Caller,
    /// From where; none over the local socket.
    pub(super) from: Option<SocketAddr>,
    /// The method.
    pub(super) method: &'a Method,
    /// The query.
    pub(super) query: &'a Query,
    /// The headers.
    pub(super) headers: &'a HeaderMap,
    /// The body, whole.
    pub(super) body: &'a [u8],
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    /// The key of the first entry, itself included.
    pub(super) start: Option<String>,
    /// At most this many.
    pub(super) size: usize,
    /// Whether to say how many there are in all.
    pub(super) count: bool,
}

/// A rule in a request.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct RuleForm {
    field: Option<String>,
    operator: Option<String>,
    values: Option<Vec<String>>,
}

impl<'a> Call<'a> {
    /// The registry.
    pub(super) fn registry(&self) -> &'a Registry {
        self.state.registry()
    }

    /// Other registries.
    pub(super) fn remotes(&self) -> &'a Remotes {
        self.state.remotes()
    }

    /// The name of a namespace that a path names, or has the id of.
    pub(super) fn namespace(&self, name_or_id: &str) -> Result<String, ApiError> {
        match self.registry().account(name_or_id) {
            Ok((name, _)) => Ok(name),
            // What is left of one whose account is gone has its name alone.
            Err(RegistryError::AccountUnknown { .. }) => Ok(name_or_id.to_owned()),
            Err(error) => Err(error.into()),
        }
    }

    /// On what condition a tag is to be changed: its entity tag is its digest,
    /// as in the registry API.
    pub(super) fn condition(&self) -> Result<Condition, ConditionError> {
        condition::to_change(self.headers)
    }

    /// The body's object; no body at all is `{}`.
    pub(super) fn form<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        read(&self.json()?)
    }

    /// The body's list of objects.
    pub(super) fn list<T: DeserializeOwned>(&self) -> Result<Vec<T>, ApiError> {
        read_list(&self.json()?)
    }

    /// The body's first JSON value. What follows it does not matter, as long as
    /// it is UTF-8: some tools send a stray comma.
    fn json(&self) -> Result<serde_json::Value, ApiError> {
        let body = if self.body.trim_ascii().is_empty() { b"{}" } else { self.body };
        let text = std::str::from_utf8(body)
            .map_err(|error| ApiError::Json(format!("no UTF-8 from byte {} on", error.valid_up_to())))?;
        let wrong = |error: serde_json::Error| ApiError::Json(error.to_string());
        json::check(text, json::Shape::Any).map_err(wrong)?;
        serde_json::Value::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(wrong)
    }

    /// A flag of the query.
    pub(super) fn flag(&self, name: &'static str, default: bool) -> Result<bool, ApiError> {
        match self.query.filled(name) {
            None => Ok(default),
            Some(text) => boolean(text)
                .ok_or_else(|| ApiError::Parameter { name, why: format!("{text:?} is neither true nor false") }),
        }
    }

    /// A flag of the query, where `any` or nothing is neither.
    pub(super) fn choice(&self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.query.filled(name) {
            None | Some("any") => Ok(None),
            Some(text) => match boolean(text) {
                Some(chosen) => Ok(Some(chosen)),
                None => Err(ApiError::Parameter { name, why: format!("{text:?} is neither true, false nor any") }),
            },
        }
    }

    /// A whole number of the query.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<usize>, ApiError> {
        match self.query.filled(name) {
            None => Ok(None),
            // A number beyond all bounds is one that is capped.
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(text.parse().unwrap_or(usize::MAX))),
            Some(other) => {
                Err(ApiError::Parameter { name, why: format!("{other:?} is no whole number that is not negative") })
            }
        }
    }

    /// The page that is asked for. Tools write the parameters of the two APIs
    /// into each other's calls, so either name does; a size beyond the limit is
    /// capped, not refused, and none at all is DTR's ten.
    pub(super) fn paging(&self) -> Result<Paging, ApiError> {
        self.paged("pageSize", "limit", "pageStart", "start")
    }

    /// The same for the accounts API, whose own words go first.
    pub(super) fn account_paging(&self) -> Result<Paging, ApiError> {
        self.paged("limit", "pageSize", "start", "pageStart")
    }

    fn paged(
        &self,
        size: &'static str,
        other_size: &'static str,
        start: &str,
        other_start: &str,
    ) -> Result<Paging, ApiError> {
        let size = match self.number(size)? {
            Some(size) => Some(size),
            None => self.number(other_size)?,
        };
        Ok(Paging {
            start: self.query.filled(start).or_else(|| self.query.filled(other_start)).map(str::to_owned),
            size: size.filter(|size| *size > 0).unwrap_or(limits::API_PAGE_ENTRIES).min(limits::PAGE_ENTRIES),
            count: self.flag("count", false)?,
        })
    }
}

/// A truth as DTR reads one (Go's `ParseBool`); Python's scripts write `True`.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// The rules of a request, as they are checked and stored; what is wrong with
/// them.
pub(super) fn rules(forms: Vec<Form<RuleForm>>) -> Result<Vec<RawRule>, String> {
    let raw = |(index, Form(form)): (usize, Form<RuleForm>)| {
        let missing = |field: &str| format!("rule {}: `{field}` is missing", index + 1);
        Ok(RawRule {
            field: form.field.ok_or_else(|| missing("field"))?,
            operator: form.operator.ok_or_else(|| missing("operator"))?,
            values: form.values.ok_or_else(|| missing("values"))?,
        })
    };
    forms.into_iter().enumerate().map(raw).collect()
}
