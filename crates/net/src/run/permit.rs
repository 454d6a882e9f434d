//! Whether a run may be, and until when: what the target's owner and the user allow.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plimsoll_core::plan::{Permission, Plan};
use plimsoll_core::profile::file::owner_of;
use plimsoll_core::profile::{Demand, Profile};
use plimsoll_core::time::At;
use plimsoll_core::wire::ConnectError;

use super::{RunError, RunOptions};
use crate::dial::Failure;

/// A host that is known to be a platform's own asks for what its owner demands, also where it is reached by a private
/// address, and whatever profile the plan names.
pub(crate) fn heed_owner(
    plan: &Plan,
    host: &str,
    permission: Option<&Permission>,
    now: Timestamp,
) -> Result<(), RunError> {
    let owner = if plan.platform.owns(host) {
        Arc::clone(&plan.platform)
    } else if let Some(owner) = owner_of(host) {
        owner
    } else {
        return Ok(());
    };
    let reason = match permission {
        Some(permission) if permission.holds(host, now) => {
            let demands = owner.policy.iter().flat_map(|policy| &policy.demands);
            let missing: Vec<_> = demands
                .filter(|demand| match demand {
                    Demand::GrantedBy => permission.granted_by.is_none(),
                    Demand::Until => permission.until.is_none(),
                })
                .map(|demand| format!("`{}`", demand.name()))
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            format!(
                "the permission for {host} does not say {}",
                missing.join(" and ")
            )
        }
        _ => format!(
            "{host} belongs to the platform {}, and no permission holds for it now",
            owner.name
        ),
    };
    Err(RunError::NotPermitted {
        reason,
        policy: policy_text(&owner),
    })
}

pub(super) fn explain(plan: &Plan, failure: Failure) -> RunError {
    match failure.error {
        ConnectError::NotPermitted => {}
        ConnectError::Proxy => return RunError::Proxy(failure.detail),
        _ => return RunError::Resolve(failure.detail),
    }
    RunError::NotPermitted {
        reason: failure.detail,
        policy: policy_text(&plan.platform),
    }
}

pub(super) fn policy_text(profile: &Profile) -> String {
    profile.policy.as_ref().map_or_else(String::new, |policy| {
        let text = policy.text.trim_end_matches('.');
        format!("{} says: {text} ({}). ", profile.name, policy.source)
    })
}

/// When open conversations must begin to end for the run to be over in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LastCall {
    pub(super) at: At,
    pub(super) why: &'static str,
}

/// The first of those that the permission, the budget and the user set.
pub(super) fn last_call(
    plan: &Plan,
    permission: Option<&Permission>,
    options: &RunOptions,
    now: Timestamp,
) -> Option<LastCall> {
    let until = |end: Timestamp| Duration::try_from(end.duration_since(now)).unwrap_or_default();
    let permitted = permission.and_then(|permission| permission.ends(now));
    let ends = [
        (permitted.map(until), "The permission's time ran out"),
        (plan.budget.time, "The budget of time was used up"),
        (
            options.stop_by.map(until),
            "The time that --stop-by names came",
        ),
    ];
    ends.into_iter()
        .filter_map(|(left, why)| {
            let at = At::ZERO + left?.saturating_sub(options.grace);
            Some(LastCall { at, why })
        })
        .min_by_key(|call| call.at)
}

#[cfg(test)]
mod tests {
    use plimsoll_core::plan::file::{Files, Overrides};

    use super::*;
    use crate::tls::ClientTls;

    #[test]
    fn the_last_call_comes_a_grace_before_the_first_end() {
        let check = |until: &str,
                     budget_s: u64,
                     stop_by: &str,
                     now_ms: i64,
                     expect: Option<(u64, &str)>| {
            let moment = |text: &str| text.parse::<Timestamp>().ok();
            let permission = Permission {
                until: moment(until),
                ..Permission::default()
            };
            let mut plan = plimsoll_core::plan::file::read(
                "plan.yaml",
                "{version: 1, target: emulator, load: {users: 1}, conversation: [{say: hi}]}",
                &Overrides::default(),
                &Files(&[]),
            )
            .unwrap();
            plan.budget.time = (budget_s > 0).then(|| Duration::from_secs(budget_s));
            let options = RunOptions {
                url: "ws://127.0.0.1:9/".parse().unwrap(),
                tls: ClientTls::default(),
                permission: None,
                proxy: None,
                run_id: String::new(),
                shards: 1,
                connect_timeout: Duration::ZERO,
                grace: Duration::from_secs(30),
                begins: None,
                stop_by: moment(stop_by),
                trace: None,
            };
            let now = Timestamp::from_millisecond(now_ms).unwrap();
            let call = last_call(&plan, Some(&permission), &options, now);
            let seen = call.map(|call| (call.at, call.why));
            let expect = expect.map(|(secs, why)| (At::from_secs(secs), why));
            assert_eq!(seen, expect);
        };
        let (permission, budget, user) = (
            "The permission's time ran out",
            "The budget of time was used up",
            "The time that --stop-by names came",
        );
        let ten = "1970-01-01T00:10:00Z";
        check("", 0, "", 0, None);
        check(ten, 0, "", 0, Some((570, permission)));
        check(ten, 0, "", 580_000, Some((0, permission)));
        check(ten, 0, "", 900_000, Some((0, permission)));
        check(ten, 500, "", 0, Some((470, budget)));
        check(ten, 500, "1970-01-01T00:05:00Z", 0, Some((270, user)));
        check("", 0, ten, 0, Some((570, user)));
    }
}
