//! The chosen plan as files for a cloud's own tools: network, machines, entry, buckets.
//!
//! Promise: what is on the bill is made or is named with the reason why not, and what costs beyond the bill is named too;
//! the same plan always gives the same bytes; no secret is in any of them; the entry alone is open to the world. Pure: no
//! clock, no file, no network. Nothing here talks to a cloud: the files are for `terraform` and `aws cloudformation`.
//!
//! Deliberately absent: managed databases and caches, a second region, state of what was made (that is the tools' own).
//!
//! ```text
//! model::Plan -> bill (what each line buys) -> layout (machines, addresses, who speaks to whom) -> aws | gcp | alicloud
//! ```
//!
//! Entry points: [`terraform`], [`cloudformation`], and [`Export`] for whoever writes the files.

mod alicloud;
mod aws;
mod bill;
mod boot;
mod cloudformation;
mod error;
mod export;
mod firewall;
mod gcp;
mod layout;
mod name;
mod page;
mod stack;

use model::Plan;

pub use error::ExportError;
pub use export::{Export, Extra, LineMade, check_sum};
pub use firewall::Ports;
pub use layout::Options;

/// Files for Terraform that make what `plan` buys.
///
/// # Errors
/// [`ExportError`] when the plan is for no cloud, misses an objective, or holds what no file can be made of.
pub fn terraform(plan: &Plan, options: &Options) -> Result<Export, ExportError> {
    let layout = layout::Layout::new(plan, options)?;
    let stack = match plan.provider.as_str() {
        "aws" => aws::stack(&layout),
        "gcp" => gcp::stack(&layout),
        "alicloud" => alicloud::stack(&layout),
        _ => return Err(ExportError::NoCloud { provider: plan.provider.clone() }),
    };
    Ok(page::terraform(&layout, stack))
}

/// A CloudFormation template that makes what `plan` buys, which must be of AWS.
///
/// # Errors
/// As [`terraform`], and when the plan is for another cloud.
pub fn cloudformation(plan: &Plan, options: &Options) -> Result<Export, ExportError> {
    if plan.provider != "aws" && plan.provider != "local" {
        return Err(ExportError::NotAws { provider: plan.provider.clone() });
    }
    let layout = layout::Layout::new(plan, options)?;
    Ok(page::cloudformation(&layout, cloudformation::stack(&layout)))
}
