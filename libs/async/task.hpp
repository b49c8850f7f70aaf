// Task<T>: the coroutine type of the project, an Asio awaitable over any executor.
//
// One co_await a statement, its operands named variables or simple calls. Coroutines are named functions that
// take values, or references that outlive them. A task runs on the executor that it was spawned on.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

namespace fleetward::async {

using Executor = boost::asio::any_io_executor;

template <class T>
using Task = boost::asio::awaitable<T, Executor>;

}  // namespace fleetward::async
