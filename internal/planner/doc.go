// Package planner turns data maps and facts about one subject into a plan: which records and files go, which are
// changed, which stay and why, in which order.
//
// It is pure: it does no I/O, opens nothing and never reads the clock. Facts are gathered by a Resolver, which says what
// to ask the stores and is handed the answers. The same maps, facts, holds, time and seeds give the same plan, byte for
// byte.
//
// The way through the package: Compile (maps to a Graph, with what is wrong in them) -> Graph.Check (against the live
// schemas) -> Resolver (facts of one subject) -> Graph.Assess (preview and checks) -> Graph.Build (the plan).
package planner
