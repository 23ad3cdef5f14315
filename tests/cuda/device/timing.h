// Times of graphs of launches, by events, and the buffers that they read.
//
// A graph holds the same call many times over, each with other weights, so that all of them come
// from memory. Replays of several graphs alternate, and none is waited for before the next is put
// on the stream: what is between two events is then the device's time alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>
#include <memory>
#include <vector>

namespace qk::timing {

inline void require(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(result));
  std::exit(EXIT_FAILURE);
}

// Microseconds of one call: the median of the replays, quartiles and extremes.
struct Times {
  double median;
  double lower;
  double upper;
  double least;
  double most;
};

inline Times times_of(std::vector<double> each) {
  std::sort(each.begin(), each.end());
  const size_t n = each.size();
  return {each[n / 2], each[n / 4], each[n - 1 - n / 4], each.front(), each.back()};
}

// `calls` calls of body(index) on a stream, captured to be replayed.
class Graph {
 public:
  template <class Body>
  Graph(cudaStream_t stream, int calls, Body body) : calls_(calls) {
    cudaGraph_t graph = nullptr;
    require(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
    for (int call = 0; call < calls; ++call) body(call);
    require(cudaStreamEndCapture(stream, &graph), "ending a capture");
    require(cudaGraphInstantiate(&graph_, graph, 0), "instantiating a graph");
    require(cudaGraphDestroy(graph), "destroying a graph");
  }
  ~Graph() { cudaGraphExecDestroy(graph_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  int calls() const { return calls_; }
  void launch(cudaStream_t stream) const {
    require(cudaGraphLaunch(graph_, stream), "launching a graph");
  }

 private:
  cudaGraphExec_t graph_ = nullptr;
  int calls_;
};

inline constexpr int kWarmUps = 3;
inline constexpr int kReplays = 21;

class Event {
 public:
  explicit Event(cudaStream_t stream) {
    require(cudaEventCreate(&event_), "creating an event");
    require(cudaEventRecord(event_, stream), "recording an event");
  }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  double microseconds_since(const Event& before) const {
    float milliseconds = 0.0f;
    require(cudaEventElapsedTime(&milliseconds, before.event_, event_), "reading events");
    return 1e3 * static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// The times of each of several graphs, whose replays take turns.
inline std::vector<Times> alternate(cudaStream_t stream, const std::vector<const Graph*>& graphs) {
  std::vector<std::unique_ptr<Event>> events;
  for (int replay = 0; replay < kWarmUps + kReplays; ++replay) {
    for (const Graph* graph : graphs) {
      events.push_back(std::make_unique<Event>(stream));
      graph->launch(stream);
    }
  }
  events.push_back(std::make_unique<Event>(stream));
  require(cudaStreamSynchronize(stream), "replaying graphs");
  std::vector<std::vector<double>> all(graphs.size());
  for (size_t i = kWarmUps * graphs.size(); i + 1 < events.size(); ++i) {
    const size_t of = i % graphs.size();
    all[of].push_back(events[i + 1]->microseconds_since(*events[i]) / graphs[of]->calls());
  }
  std::vector<Times> times;
  for (const std::vector<double>& each : all) times.push_back(times_of(each));
  return times;
}

}  // namespace qk::timing
