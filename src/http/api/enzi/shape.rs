//! Accounts, members and teams as clients read them.

use serde::Serialize;

use crate::registry::organization::MemberShown;
use crate::registry::team::TeamShown;
use crate::registry::{Registry, RegistryError};
use crate::store::record::{Account, OrganizationSize};

/// An account. The fields of the other kind are absent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::api) struct AccountShape {
    pub(super) name: String,
    pub(super) id: String,
    full_name: String,
    is_org: bool,
    #[serde(flatten)]
    kind: KindShape,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum KindShape {
    #[serde(rename_all = "camelCase")]
    User {
        is_admin: bool,
        is_active: bool,
        /// From an outside directory; there is none.
        is_imported: bool,
        on_demand: bool,
        otp_enabled: bool,
        locked: bool,
    },
    #[serde(rename_all = "camelCase")]
    Organization { members_count: u64, teams_count: u64 },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemberShape {
    member: AccountShape,
    is_admin: bool,
    /// DTR 2.1 had it, and scripts read it and write it back.
    is_public: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MembersShape {
    pub(super) members: Vec<MemberShape>,
    pub(super) next_page_start: String,
    pub(super) resource_count: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TeamShape {
    #[serde(rename = "orgID")]
    org_id: String,
    name: String,
    id: String,
    description: String,
    members_count: u64,
}

impl AccountShape {
    pub(in crate::http::api) fn of(registry: &Registry, name: String, account: Account) -> Result<Self, RegistryError> {
        let kind = if account.is_org {
            let OrganizationSize { members, teams } = registry.organization_size(&account.id)?;
            KindShape::Organization { members_count: members, teams_count: teams }
        } else {
            KindShape::User {
                is_admin: account.is_admin,
                is_active: account.is_active,
                is_imported: false,
                on_demand: false,
                otp_enabled: false,
                locked: false,
            }
        };
        let (id, full_name, is_org) = (account.id.to_string(), account.full_name, account.is_org);
        Ok(Self { name, id, full_name, is_org, kind })
    }
}

impl MemberShape {
    pub(super) fn of(registry: &Registry, shown: MemberShown) -> Result<Self, RegistryError> {
        let member = AccountShape::of(registry, shown.name, shown.account)?;
        Ok(Self { member, is_admin: shown.is_admin, is_public: false })
    }
}

impl From<TeamShown> for TeamShape {
    fn from(TeamShown { organization, team, .. }: TeamShown) -> Self {
        Self {
            org_id: organization.to_string(),
            name: team.name,
            id: team.id.to_string(),
            description: team.description,
            members_count: team.members,
        }
    }
}
