//! The two ends of a delivery: the agent's handle and the task's orders.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

use crate::job::{Phase, Receipt};

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// The source has everything.
    Reported,
    /// The source does not take the outcome: the execution is not ours (any more), or the report is refused for good.
    NotTaken(String),
    /// Nothing was reported, on our own account.
    Disowned,
}

/// What the task is to do.
#[derive(Debug, Clone)]
enum Order {
    /// The execution goes on.
    Live,
    /// It is over.
    Finish(Finished),
    /// It is not ours.
    Disown(String),
}

/// How and when the execution ended.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) receipt: Arc<Receipt>,
    pub(super) at: Instant,
}

/// Handle of one delivery. Dropping the last one without [`Delivery::finish`] or [`Delivery::disown`] leaves the execution open in the
/// journal, for the next start.
#[derive(Debug, Clone)]
pub struct Delivery {
    order: watch::Sender<Order>,
    phase: watch::Sender<Phase>,
    ending: watch::Receiver<Option<Delivered>>,
}

/// The task's end of a [`Delivery`].
#[derive(Debug)]
pub(super) struct Orders {
    order: watch::Receiver<Order>,
    pub(super) phase: watch::Receiver<Phase>,
    ending: watch::Sender<Option<Delivered>>,
}

pub(super) fn pair() -> (Delivery, Orders) {
    let (order, order_receiver) = watch::channel(Order::Live);
    let (phase, phase_receiver) = watch::channel(Phase::Claimed);
    let (ending, ending_receiver) = watch::channel(None);
    (Delivery { order, phase, ending: ending_receiver }, Orders { order: order_receiver, phase: phase_receiver, ending })
}

impl Delivery {
    /// The execution entered `phase`. Told to the source when it lasts; never waits.
    pub fn phase(&self, phase: Phase) {
        self.phase.send_if_modified(|old| phase > *old && std::mem::replace(old, phase) != phase);
    }

    /// The execution is over, its log is complete, and the journal has the receipt: everything is delivered now. The first of
    /// `finish` and [`Delivery::disown`] counts.
    pub fn finish(&self, receipt: Receipt) {
        self.give(Order::Finish(Finished { receipt: Arc::new(receipt), at: Instant::now() }));
    }

    /// The execution is not ours: nothing more is told to the source, and its log is removed.
    pub fn disown(&self, reason: impl Into<String>) {
        self.give(Order::Disown(reason.into()));
    }

    fn give(&self, order: Order) {
        self.order.send_if_modified(|old| {
            let first = matches!(old, Order::Live);
            if first {
                *old = order;
            }
            first
        });
    }

    /// Resolves when nothing is owed any more; with `None` when the runner stopped before that. Cancel-safe.
    pub async fn delivered(&self) -> Option<Delivered> {
        let mut ending = self.ending.clone();
        ending.wait_for(Option::is_some).await.ok().and_then(|ending| ending.clone())
    }
}

impl Orders {
    /// Resolves when the execution is over; never when it is disowned or forgotten. Cancel-safe.
    pub(super) fn finished(&self) -> impl Future<Output = Finished> + Send + use<> {
        let mut order = self.order.clone();
        async move {
            if let Ok(order) = order.wait_for(|order| matches!(order, Order::Finish(_))).await
                && let Order::Finish(finished) = &*order
            {
                return finished.clone();
            }
            std::future::pending().await
        }
    }

    /// Resolves when the execution is disowned, with the reason, or when nobody is left who could say how it ends (`None`). Cancel-safe.
    pub(super) fn given_up(&self) -> impl Future<Output = Option<String>> + Send + use<> {
        let mut order = self.order.clone();
        async move {
            let reason = match order.wait_for(|order| !matches!(order, Order::Live)).await.as_deref() {
                Ok(Order::Disown(reason)) => Some(Some(reason.clone())),
                Ok(Order::Live | Order::Finish(_)) => None,
                Err(_) => Some(None),
            };
            if let Some(reason) = reason {
                return reason;
            }
            std::future::pending().await
        }
    }

    /// Tells whoever waits.
    pub(super) fn end(self, ending: Delivered) {
        self.ending.send_replace(Some(ending));
    }
}
