from django.http import HttpResponse

PAGE = """<!doctype html>
<title>A chat</title>
<form><input autofocus></form>
<pre></pre>
<script>
const socket = new WebSocket("ws://" + location.host + "/rooms/lobby");
const input = document.querySelector("input");
socket.onmessage = (event) => document.querySelector("pre").append(JSON.parse(event.data).text + "\\n");
document.querySelector("form").onsubmit = (event) => {
  event.preventDefault();
  socket.send(JSON.stringify({ text: input.value }));
  input.value = "";
};
</script>
"""


def room(request):
    return HttpResponse(PAGE)
