//! Who follows whom: a group that follows another begins once nobody of that one is left, in any fleet of the run. When
//! that is follows from how long conversations take; one relay for all fleets makes it one moment for all of them.

use crate::plan::Plan;

pub struct Relay {
    /// Those that follow each group.
    followers: Vec<Vec<u16>>,
    /// Which fleets each group still has somebody in.
    left: Vec<Vec<bool>>,
}

impl Relay {
    pub fn new(plan: &Plan, fleets: usize) -> Self {
        let mut followers = vec![Vec::new(); plan.groups.len()];
        for (place, group) in plan.groups.iter().enumerate() {
            let followed = group
                .begin
                .follows
                .and_then(|group| followers.get_mut(usize::from(group)));
            if let Some(followers) = followed {
                followers.push(place as u16);
            }
        }
        Self {
            left: vec![vec![true; fleets]; plan.groups.len()],
            followers,
        }
    }

    /// Nobody of the group is left in that fleet. Gives the groups that begin now.
    pub fn through(&mut self, group: u16, fleet: usize) -> Vec<u16> {
        let Some(left) = self.left.get_mut(usize::from(group)) else {
            return Vec::new();
        };
        let was_left = left.get_mut(fleet).is_some_and(std::mem::take);
        match was_left && !left.contains(&true) {
            true => self.followers[usize::from(group)].clone(),
            false => Vec::new(),
        }
    }

    /// The fleet is gone, with whatever it still had to do. Gives the groups that begin now.
    pub fn gone(&mut self, fleet: usize) -> Vec<u16> {
        (0..self.left.len())
            .flat_map(|group| self.through(group as u16, fleet))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(fleets: usize) -> Relay {
        // The second and the third follow the first, the fourth follows the second.
        Relay {
            followers: vec![vec![1, 2], vec![3], vec![], vec![]],
            left: vec![vec![true; fleets]; 4],
        }
    }

    #[test]
    fn a_group_is_through_when_it_is_in_every_fleet() {
        let mut relay = relay(2);
        assert_eq!(relay.through(0, 0), Vec::<u16>::new());
        assert_eq!(relay.through(0, 0), Vec::<u16>::new());
        assert_eq!(relay.through(0, 1), [1, 2]);
        assert_eq!(relay.through(0, 1), Vec::<u16>::new());
    }

    #[test]
    fn nobody_waits_for_a_fleet_that_is_gone() {
        let mut relay = relay(2);
        assert_eq!(relay.gone(0), Vec::<u16>::new());
        assert_eq!(relay.through(0, 1), [1, 2]);
        assert_eq!(relay.gone(1), [3]);
    }
}
