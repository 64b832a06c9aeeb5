//! Doing harm: carries out the faults of a schedule on a mesh of processes.

use std::time::Duration;

use bytes::Bytes;
use domain::{Lane, Priority};
use nix::sys::signal::Signal;
use queue::{Bus, Outcomes, Work};
use testkit::{Processes, Toxic};
use tokio::time::sleep;

use crate::schedule::Fault;

/// Outcomes or tasks that are told twice in one go.
const DOUBLED: usize = 500;

/// What is needed to do harm to one mesh.
pub(crate) struct Chaos {
    bus: Bus,
    /// Reads every outcome beside the job service.
    outcomes: Outcomes,
    told: usize,
}

impl Chaos {
    pub(crate) async fn new(mesh: &Processes) -> Self {
        let bus = mesh.bus("chaos").await;
        let outcomes = bus.outcomes("chaos");
        Self { bus, outcomes, told: 0 }
    }

    /// Carries out a fault; returns when its cause is over.
    pub(crate) async fn strike(&mut self, mesh: &mut Processes, fault: &Fault) {
        match fault {
            Fault::Kill(member, pause) => {
                mesh.kill(*member);
                sleep(*pause).await;
                mesh.spawn(*member);
            }
            Fault::Stop(member, pause) => {
                mesh.signal(*member, Signal::SIGSTOP);
                sleep(*pause).await;
                mesh.signal(*member, Signal::SIGCONT);
            }
            Fault::KillNats(pause) => {
                mesh.nats.kill().await.expect("because the process is ours");
                sleep(*pause).await;
                mesh.nats.restart().await.expect("because it can be started again");
            }
            Fault::WipeNats => mesh.wipe_nats().await,
            Fault::RollNatsBack => {
                if !mesh.roll_nats_back().await {
                    mesh.keep_nats().await;
                }
            }
            Fault::PowerCut => {
                for member in mesh.kill_everything().await {
                    mesh.spawn(member);
                }
                mesh.nats.restart().await.expect("because it can be started again");
            }
            Fault::KillPostgres(pause) => {
                let postgres = mesh.postgres.as_ref().expect("because the schedule says so");
                postgres.stop().expect("because the server is ours");
                sleep(*pause).await;
                postgres.start_again().expect("because it can be started again");
            }
            Fault::Harm(link, ways, toxic, time, cut) => {
                let proxy = mesh.proxy(*link);
                for way in ways {
                    proxy.harm(*way, *toxic);
                }
                sleep(*time).await;
                // What was cut off in the middle of silence does not come later.
                if *cut && *toxic == Toxic::Silence {
                    proxy.cut();
                }
                proxy.heal();
            }
            Fault::Cut(link) => mesh.proxy(*link).cut(),
            Fault::Duplicates => self.duplicate().await,
        }
    }

    /// Tells outcomes again under other names, which the queue cannot know as the same, and doubles page tasks.
    async fn duplicate(&mut self) {
        let Ok(outcomes) = self.outcomes.pull(DOUBLED, Duration::from_millis(200)).await else { return };
        for outcome in outcomes {
            self.told += 1;
            let _ = self.bus.publish_outcome(format!("again-{}", self.told), outcome.payload.clone()).await;
            // Our own doubles come here, too.
            let _ = outcome.ack().await;
        }
        let Ok(tasks) = self.bus.pull(Lane::Http).pull(4).await else { return };
        for task in tasks {
            for _ in 0..2 {
                self.told += 1;
                let id = format!("again-{}", self.told);
                let (lane, priority, payload) = (Lane::Http, Priority::Normal, Bytes::clone(&task.payload));
                let _ = self.bus.publish_work(Work { lane, priority, id, payload, traceparent: None }).await;
            }
            let _ = task.ack().await;
        }
    }
}
