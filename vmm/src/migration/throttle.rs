//! Holding vCPUs back, so that a guest writes less than can be sent.

use super::STOP;
use crate::{machine::Vcpus, memory::Devices};
use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

/// vCPUs run for a part of this.
const PERIOD: Duration = Duration::from_millis(10);
/// By how many percent they are held back, step by step.
const STEPS: [u64; 4] = [50, 80, 95, 99];

/// vCPUs that are held back for a part of the time, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Throttle<'a> {
    devices: Option<&'a Devices>,
    thread: Option<(Sender<u64>, JoinHandle<()>)>,
    step: usize,
    percent: u64,
}

impl<'a> Throttle<'a> {
    /// Holds them, and the devices that write for them, back more than before.
    pub(super) fn step(&mut self, vcpus: &Vcpus, devices: Option<&'a Devices>) {
        self.percent = STEPS[self.step.min(STEPS.len() - 1)];
        self.step += 1;
        let (tell, _) = self.thread.get_or_insert_with(|| {
            let (tell, told) = channel();
            let vcpus = vcpus.clone();
            (tell, std::thread::spawn(move || hold_back(&vcpus, &told)))
        });
        self.devices = devices;
        devices.iter().for_each(|devices| devices.hold_back(self.percent));
        // It ends by itself only where vCPUs are gone, which is noticed elsewhere.
        let _ = tell.send(self.percent);
    }

    /// For how many percent of the time they are held back.
    pub(super) const fn percent(&self) -> u64 {
        self.percent
    }
}

impl Drop for Throttle<'_> {
    fn drop(&mut self) {
        self.devices.iter().for_each(|devices| devices.hold_back(0));
        if let Some((tell, thread)) = self.thread.take() {
            drop(tell);
            // A panic there has been printed; vCPUs that stay held are noticed.
            let _ = thread.join();
        }
    }
}

fn hold_back(vcpus: &Vcpus, told: &Receiver<u64>) {
    let mut percent = 0;
    loop {
        let held = PERIOD * percent as u32 / 100;
        if percent > 0 && vcpus.hold(STOP).is_err() {
            return;
        }
        let next = told.recv_timeout(held);
        vcpus.go_on();
        for next in [next, told.recv_timeout(PERIOD - held)] {
            match next {
                Ok(more) => percent = more,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}
