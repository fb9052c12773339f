//! Time limits without timers: each connection has one slot, and one tick of the thread looks at all of them. A
//! request then costs no timer, only a store.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use model::Moment;

use crate::worker::Target;

/// The slots of one thread.
#[derive(Debug, Default)]
pub struct Alarms {
    slots: RefCell<Vec<Rc<Slot>>>,
}

/// What a connection waits for besides its sockets.
#[derive(Debug, Default)]
pub struct Slot {
    place: Cell<usize>,
    /// In milliseconds; 0: none.
    deadline: Cell<u64>,
    waker: RefCell<Option<Waker>>,
    /// The endpoint it waits for, with its generation and its doubts when that began.
    target: RefCell<Option<(Rc<Target>, u32, u32)>>,
    /// No request is open: the end of the front ends it.
    idle: Cell<bool>,
}

/// A slot, given back when dropped.
#[derive(Debug)]
pub struct SlotGuard {
    alarms: Rc<Alarms>,
    slot: Rc<Slot>,
}

impl Alarms {
    /// A slot of its own.
    #[must_use]
    pub fn slot(self: &Rc<Self>) -> SlotGuard {
        let slot = Rc::new(Slot::default());
        let mut slots = self.slots.borrow_mut();
        slot.place.set(slots.len());
        slots.push(Rc::clone(&slot));
        SlotGuard { alarms: Rc::clone(self), slot }
    }

    /// Wakes whoever is late. With `endpoints`: also who waits for an endpoint that was ejected or doubted since. With
    /// `idle`: also who is idle. With `all`: everybody.
    pub fn ring(&self, now: Moment, endpoints: bool, idle: bool, all: bool) {
        for slot in self.slots.borrow().iter() {
            let late = slot.deadline.get() != 0 && now.0 >= slot.deadline.get();
            let wanted = all
                || late
                || (idle && slot.idle.get())
                || (endpoints && (slot.is_abandoned() || slot.is_doubted()));
            if let Some(waker) = slot.waker.borrow().as_ref().filter(|_| wanted) {
                waker.wake_by_ref();
            }
        }
    }
}

impl Slot {
    fn is_abandoned(&self) -> bool {
        let target = self.target.borrow();
        target.as_ref().is_some_and(|(target, generation, _)| target.endpoint.generation() != *generation)
    }

    fn is_doubted(&self) -> bool {
        let target = self.target.borrow();
        target.as_ref().is_some_and(|(target, _, doubts)| target.endpoint.doubts() != *doubts)
    }
}

impl SlotGuard {
    /// From now on the time limit is `moment`.
    pub fn set_deadline(&self, moment: Moment) {
        self.slot.deadline.set(moment.0);
    }

    /// Whether the time limit is over.
    #[must_use]
    pub fn is_late(&self, now: Moment) -> bool {
        self.slot.deadline.get() != 0 && now.0 >= self.slot.deadline.get()
    }

    /// Says whether a request is open.
    pub fn set_idle(&self, idle: bool) {
        self.slot.idle.set(idle);
    }

    /// Waits for a response from this endpoint until [`SlotGuard::release`].
    pub fn watch(&self, target: &Rc<Target>) {
        let endpoint = &target.endpoint;
        let watched = (Rc::clone(target), endpoint.generation(), endpoint.doubts());
        *self.slot.target.borrow_mut() = Some(watched);
    }

    /// Whether the endpoint was doubted since [`SlotGuard::watch`], or since [`SlotGuard::trust`].
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        self.slot.is_doubted()
    }

    /// Forgets the doubts of before.
    pub fn trust(&self) {
        if let Some((target, _, known)) = self.slot.target.borrow_mut().as_mut() {
            *known = target.endpoint.doubts();
        }
    }

    /// Waits for no endpoint any more.
    pub fn release(&self) {
        *self.slot.target.borrow_mut() = None;
    }

    /// Whether the endpoint was ejected since.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.slot.is_abandoned()
    }

    /// The task to wake. Cheap when it is still the same.
    pub fn wake_me(&self, context: &Context<'_>) {
        let mut waker = self.slot.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        let mut slots = self.alarms.slots.borrow_mut();
        let place = self.slot.place.get();
        slots.swap_remove(place);
        if let Some(moved) = slots.get(place) {
            moved.place.set(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_and_go_in_any_order() {
        let alarms = Rc::new(Alarms::default());
        let mut slots: Vec<SlotGuard> = (0..10).map(|_| alarms.slot()).collect();
        for place in [3, 0, 7, 2, 2] {
            slots.remove(place);
        }
        slots.push(alarms.slot());
        for (place, slot) in alarms.slots.borrow().iter().enumerate() {
            assert_eq!(slot.place.get(), place);
        }
        assert_eq!(alarms.slots.borrow().len(), 6);
    }
}
