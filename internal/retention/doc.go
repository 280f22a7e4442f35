// Package retention decides which records go by age: when, what goes with them, and what keeps them.
//
// It is pure: it does no I/O and never reads the clock. Compile makes the targets of a policy's rules from the data maps; a
// target's Sweep is what a store is asked to find and treat, and Decide says of one record when it goes and why it is still
// there.
//
// A record is due once its period has passed since its clock (period.Period.EndOf), rounded up to the second, and nothing
// keeps it. Everything that cannot be told keeps: an empty clock, one in the future, a hold that nobody can compare.
package retention
