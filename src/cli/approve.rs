//! `nivel approve` and `nivel hold`: the admin's yes, and her stop.

use clap::Args;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line};
use crate::sync::{Act, Approved};

/// Say yes to what is planned: a new setup begins to write, held writes go out
#[derive(Debug, Args)]
#[command(
    after_help = "From then on Nivel writes by itself, until the systems or rules in the config change.\n\n\
Example:\n  nivel plan --details 50\n  nivel approve"
)]
pub(super) struct Approve {}

/// Stop all writing until the next `nivel approve`; reading goes on
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel hold")]
pub(super) struct Hold {}

impl Approve {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        context.output.show(&context.act::<Approved>(Act::Approve).await?);
        Ok(Exit::Fine)
    }
}

impl Hold {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        context.output.show(&context.act::<Approved>(Act::Hold).await?);
        Ok(Exit::Fine)
    }
}

impl Show for Approved {
    fn text(&self) -> String {
        let mut text = String::new();
        let due = count(self.due, "write");
        if self.may_write {
            line(
                &mut text,
                format_args!("approved: {due} may go out, {} of them were held", self.released),
            );
            line(&mut text, "the next `nivel sync`, or the daemon, writes them");
        } else {
            line(
                &mut text,
                format_args!("held: {due} wait until `nivel approve`; reading goes on"),
            );
        }
        text
    }
}
